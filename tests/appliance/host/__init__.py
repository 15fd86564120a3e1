"""Tests of `appliance/host/`."""
