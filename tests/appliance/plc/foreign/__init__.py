"""The PLC's end of each protocol on another implementation than ours, and the PLC that works with it.

Each peer is a process that takes one order a line and answers with one line, until its input ends:

    read TYPE@WHERE ...            the values, all read in one request
    write TYPE@WHERE=VALUE ...     ok

TYPE is u16, u32 or f32, WHERE a register, byte or node as the README counts them.  What the far side, or the peer's own
library, refuses is answered with `refused` and why.  The first line is `ready`.
"""
