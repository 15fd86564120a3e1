"""Tests of `engines/graph/`."""
