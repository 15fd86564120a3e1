"""Tests of `calibrate/fit/`."""
