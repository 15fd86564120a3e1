"""The calibration report."""
