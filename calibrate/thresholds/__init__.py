"""From a fitted recipe and held-out samples to thresholds with a guarantee."""
