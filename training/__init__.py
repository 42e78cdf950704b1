"""Training of the built-in model: pictures made by code, and a StyleGAN2 that learns them.

    python -m training --help

Not part of the installed program, which needs the finished model alone. Data goes through once: `latents` (what a
noise vector means) -> `pictures` (what it looks like) -> `trainer` (which fits `network` to it) -> `measure`.
"""
