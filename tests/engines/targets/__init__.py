"""Tests of `engines/targets/`."""
