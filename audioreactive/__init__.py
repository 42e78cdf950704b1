"""Turns any song and any StyleGAN2 model into a music video in which every motion can be traced to something heard."""
