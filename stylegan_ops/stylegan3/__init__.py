"""StyleGAN3 and StyleGAN-XL: generators whose pictures can be moved, turned and enlarged by a matrix."""
