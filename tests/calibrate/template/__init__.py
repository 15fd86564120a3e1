"""Tests of `calibrate/template/`."""
