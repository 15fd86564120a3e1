"""The recipe bundle: its files as typed structs. Free of torch, so that a line can read a recipe."""
