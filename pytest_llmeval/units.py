"""Sizes in bytes, as people count them."""

MIB = 1 << 20
GIB = 1 << 30
