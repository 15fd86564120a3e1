"""From golden samples to a fitted recipe."""
