"""Tests of `engines/networks/`."""
