"""Tests of `calibrate/thresholds/`."""
