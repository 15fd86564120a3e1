"""A line without hardware: a rendered product, and the demo that inspects it."""
