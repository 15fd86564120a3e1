"""Tests of `engines/proof/`."""
