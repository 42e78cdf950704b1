"""Synthesizers that learn: motion for latents and noise from features, by optimisation (chapters 4.2 and 4.3).

tables           Features -> what synthesizers hear, and what their motion is held against
losses           supervised, self-supervised, and what is added to them
decoders         envelopes -> motion: parameter-free, or learned
legendre         envelopes as sums of Legendre polynomials, in windows
hippo            envelopes fitted to one song
generators, s4   sequence models from features to envelopes
wavefront        all layers of a GRU at once, for training
dataset          folders of music -> clips
lessons          recipes for supervised synthesizers to imitate
training, plot   training that can be resumed, and its picture
model_file       trained synthesizers as files
synthesize       Patch + Features -> Features with the envelopes of the patch's synthesizers
frechet          how far frames lie from a model's own pictures
"""
