"""Tests of `calibrate/`."""
