"""Tests of `calibrate/reporting/`."""
