"""Faults on purpose, against real processes: short runs in `make test`, the long ones under `make faults`."""
