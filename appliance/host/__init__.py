"""A line and the box that it runs on: what it consists of there, its time limits, what a service manager is told."""
