"""Errors of the generator's side; this package knows nothing of audio."""


class StyleGANError(Exception):
    """Base of everything that a person can cause and mend: the message says what was wrong and what to do."""


class CheckpointError(StyleGANError):
    """A model file cannot be used: damaged, hostile, of another kind, or of an architecture that is not StyleGAN2."""
