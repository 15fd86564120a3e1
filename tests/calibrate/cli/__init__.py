"""Tests of `calibrate/cli/`."""
