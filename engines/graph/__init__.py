"""The inspection graph: a network with its backbone and templates, from uint8 tiles to map and scores."""
