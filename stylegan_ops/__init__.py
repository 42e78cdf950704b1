"""StyleGAN2 inference on its own: reads every checkpoint format in the wild without executing it, and runs it fast."""
