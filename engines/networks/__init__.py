"""The networks, as their papers describe them, and their backbones."""
