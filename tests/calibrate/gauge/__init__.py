"""Tests of `calibrate/gauge/`."""
