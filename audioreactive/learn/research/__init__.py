"""Parts for the experiments of the thesis: supervised training, and the distance of frames from a model's own pictures.

targets  motions that supervised synthesizers imitate
frechet  Fréchet distance between the features of two sets of pictures
"""
