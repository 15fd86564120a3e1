"""The command `calibrate`: one file for each of its commands."""
