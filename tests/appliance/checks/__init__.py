"""Tests of `appliance/checks/`."""
