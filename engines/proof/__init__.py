"""Building an engine, comparing it with the reference, and admitting only what has proven itself."""
