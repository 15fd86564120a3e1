"""The command `inspect`: one file for each group of its commands."""
