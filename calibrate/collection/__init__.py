"""Golden samples: taking them from a line's camera, checking each picture, and finding those that deviate."""
