"""Tests of `engines/pictures/`."""
