"""Tests of `appliance/capture/`."""
