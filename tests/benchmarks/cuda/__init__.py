"""What the GPU engines do on a machine that has a GPU: one script, no network, at most 8 minutes."""
