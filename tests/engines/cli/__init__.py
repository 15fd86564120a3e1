"""Tests of `engines/cli/`."""
