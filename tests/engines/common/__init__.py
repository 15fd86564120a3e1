"""Tests of `engines/common/`."""
