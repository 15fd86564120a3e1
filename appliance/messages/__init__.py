"""What goes over the wire, and the two ends of it."""
