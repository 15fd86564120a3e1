"""Tests of `calibrate/pages/`."""
