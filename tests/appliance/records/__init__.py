"""Tests of `appliance/records/`."""
