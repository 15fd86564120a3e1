"""Tests of `appliance/plc/`."""
