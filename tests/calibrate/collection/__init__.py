"""Tests of `calibrate/collection/`."""
