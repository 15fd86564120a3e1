"""IEC 61131-3 structured text, as much of it as `program.st` uses: read into a tree, and run; `inspect plc-sim` does both."""
