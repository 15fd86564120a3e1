"""Connections to PLCs, each over its protocol's library, from either end; the kinds of PLC beside this folder use them."""
