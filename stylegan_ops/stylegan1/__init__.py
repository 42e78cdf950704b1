"""StyleGAN1: the generator with normalised features and a style for each of them."""
