"""Tests of `appliance/config/`."""
