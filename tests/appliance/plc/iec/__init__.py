"""The PLC's program: read from structured text into a tree, run as Python, and written as the files that PLC tools import."""
