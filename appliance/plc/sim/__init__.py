"""A PLC that behaves as the README asks of a PLC's program, for every kind of connection: the other side of each port."""
