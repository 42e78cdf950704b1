"""Plumbing: exact numbers, files that appear whole, interrupts, memory, named streams of chance, pictures."""
