"""Tests of `systemd/`."""
