"""Tests of `appliance/cli/`."""
