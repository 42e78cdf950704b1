"""Patches (recipes of motion): drawing, reading and writing them, and computing the generator's inputs from them."""
