"""Tests of `engines/recipe/`."""
