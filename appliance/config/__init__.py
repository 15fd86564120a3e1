"""The line's file: one struct for each of its tables."""
