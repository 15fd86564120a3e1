"""Tests of `appliance/`."""
