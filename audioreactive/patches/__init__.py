"""Patch -> what the generator is fed: a recipe drawn or read, its latents, its noise."""
