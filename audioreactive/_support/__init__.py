"""Helpers for the whole package: exact numbers, safe file access, interrupts, memory, named random streams, images."""
