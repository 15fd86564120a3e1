"""Tests of `appliance/line/`."""
