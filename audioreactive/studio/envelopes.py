"""What moves each sub-sequence of a patch, as curves to draw over the waveform."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np

from audioreactive.errors import PresetError
from audioreactive.patches.schema import LatentLoop, LatentSegmentation, LatentSynthesizer, NoiseLoop
from audioreactive.patches.tables import loop_phase, merge_amount, shape_envelope

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from audioreactive.features import Features
    from audioreactive.patches.motion import Synthesize
    from audioreactive.patches.schema import LatentSequence, NoiseSequence, Patch

ENVELOPE_COLUMNS: Final = 480
"""Most values of a curve."""


def envelopes_of(patch: Patch, features: Features, frames: range, synthesize: Synthesize) -> list[dict[str, Any]]:
    """Return, for each sub-sequence: its key, what it hears in words, and its curve over these frames, 0 to 255."""
    found = []
    for half in ("latents", "noise"):
        for index, sequence in enumerate(getattr(patch, half).sequences):
            values = np.clip(np.asarray(_curve(sequence, patch, features, frames, synthesize), np.float32), 0, 1)
            count = min(len(values), ENVELOPE_COLUMNS)
            starts = np.arange(count) * len(values) // count
            curve = np.round(255 * np.maximum.reduceat(values, starts)).astype(int).tolist()
            found.append({"key": f"{half}.{index}", "hears": _hears(sequence), "curve": curve})
    return found


def _curve(
    sequence: LatentSequence | NoiseSequence, patch: Patch, features: Features, frames: range, synthesize: Synthesize
) -> NDArray[Any]:
    rows = slice(frames.start, frames.stop)
    envelope = getattr(sequence, "envelope", None)
    if sequence.modulator is not None:
        return merge_amount(sequence.model_copy(update={"muted": False}), features)[rows, 0]
    if envelope is not None:
        return np.asarray(shape_envelope(envelope, features)[rows].max(axis=1))
    if isinstance(sequence, LatentLoop | NoiseLoop):
        return np.asarray(0.5 - 0.5 * np.cos(2 * np.pi * loop_phase(sequence, features)[rows]))
    if isinstance(sequence, LatentSegmentation):
        return np.asarray(features.segmentation(sequence.feature, sequence.k)[rows] / max(sequence.k - 1, 1))
    if isinstance(sequence, LatentSynthesizer):
        made = synthesize(patch, features)[sequence.synthesizer]
        return np.asarray(np.abs(2 * made[rows, :9] - 1).max(axis=1))
    raise PresetError("this sub-sequence has no curve")


def _hears(sequence: LatentSequence | NoiseSequence) -> str:
    """Say in words what moves a sub-sequence."""
    envelope = getattr(sequence, "envelope", None)
    if isinstance(sequence, LatentLoop | NoiseLoop):
        what = f"loop of {sequence.bars:g} bars" if sequence.bars is not None else f"loop of {sequence.seconds:g} s"
    elif isinstance(sequence, LatentSegmentation):
        what = f"sections of {sequence.feature}"
    elif isinstance(sequence, LatentSynthesizer):
        what = f"synthesizer {sequence.synthesizer}"
    else:
        assert envelope is not None
        what = str(envelope.feature)
    return what if sequence.modulator is None else f"{what}, by {sequence.modulator.feature}"
