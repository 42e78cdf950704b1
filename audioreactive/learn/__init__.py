"""Synthesizers: motion of latents and noise, learned from the features of songs (chapters 4.2 and 4.3).

tables           Features -> inputs of synthesizers, and the features that their motion is compared with
losses           supervised and self-supervised losses, and penalties
decoders         envelopes -> motion: parameter-free, or learned
legendre         envelopes as sums of Legendre polynomials, in windows
projection       what is heard in a song, projected onto their span
sight            envelopes fitted to one song by what is seen of them
response         how a generator's picture answers its inputs, learnt from small renders
aim              the corrected score of what is foretold, differentiable
foresight        the score of any patch on a slow generator, foretold
hippo            envelopes fitted to one song by themselves, as in the thesis
generators, s4   sequence models from features to envelopes
wavefront        a faster GRU for training, all layers at once
dataset          folders of music -> clips
training, plot   training that can be resumed, and a plot of its losses
model_file       trained synthesizers as files
synthesize       Patch + Features -> envelopes of the patch's synthesizers
research         parts for the experiments of the thesis: targets of supervised training, Fréchet distance
"""
