"""The command `engines`."""
