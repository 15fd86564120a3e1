"""Detectability: defects drawn in a ladder of sizes and contrasts, and the smallest that a line finds."""
