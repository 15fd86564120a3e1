"""Tests of `calibrate/detection/`."""
