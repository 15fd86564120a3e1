"""From golden samples to a calibrated recipe."""
