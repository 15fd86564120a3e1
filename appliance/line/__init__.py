"""A line at work: from the camera's frame to the verdict that leaves the box."""
