"""Tests of `appliance/messages/`."""
