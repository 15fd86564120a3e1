"""Tests of `calibrate/evaluation/`."""
