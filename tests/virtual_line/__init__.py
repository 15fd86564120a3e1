"""A line without hardware: a rendered product, a PLC stand-in, and the demo that runs them."""
