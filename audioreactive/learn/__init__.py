"""Synthesizers that learn: motion for latents and noise from features, by optimisation (chapter 4.2 and 4.3).

tables       Features -> what synthesizers hear, and what their motion is held against
losses       supervised, self-supervised, and what is added to them
decoders     envelopes -> latents and noise: parameter-free, or learned
legendre     envelopes as sums of Legendre polynomials, in windows
hippo        envelopes fitted to one song
synthesize   Patch + Features -> Features with the envelopes of the patch's synthesizers
"""
