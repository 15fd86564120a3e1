"""What stays of a line's work: its journal, its archive of pictures, its challenges."""
