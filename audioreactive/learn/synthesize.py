"""Envelopes of a patch's synthesizers for a song: fitted to it, or made by a trained model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from audioreactive.errors import SynthesizerError
from audioreactive.learn.tables import RATE, centred_targets, frames_at_rate, input_table, interpolated, target_tables
from audioreactive.patches.schema import Hippo
from audioreactive.progress import Progress, Silent, foretelling

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from audioreactive.features import Features
    from audioreactive.generators import Generator
    from audioreactive.patches.schema import Patch, Trained

    FloatArray = NDArray[np.float32]

SHORTEST = 1.0
"""Shortest song, in seconds, to which a motion can be fitted."""


def synthesize(
    patch: Patch, features: Features, generator: Generator | None = None, progress: Progress | None = None
) -> dict[str, FloatArray]:
    """Name of each of the patch's synthesizers -> its envelopes, as `patches.motion.Synthesize` describes them.

    Args:
        patch: the recipe that calls them.
        features: features of the song.
        generator: the generator whose pictures a motion is fitted to; needed by `hippo` with `aim = "seen"` only.
        progress: receives the progress.

    Raises:
        SynthesizerError: the song is too short or constant, a generator is needed, or a trained synthesizer is damaged.
    """
    progress = progress or Silent()
    made = {}
    for synthesizer in patch.synthesizers:
        if isinstance(synthesizer, Hippo):
            _check_fit(synthesizer, features)
            if synthesizer.aim == "seen":
                motion = _fitted_to_pictures(synthesizer, patch, features, generator, progress)
            else:
                motion = _fitted(synthesizer, features, progress)
        else:
            motion = _inferred(synthesizer, features)
        made[synthesizer.name] = np.clip(0.5 + 0.5 * motion, 0, 1).astype(np.float32)
    return made


def _check_fit(hippo: Hippo, features: Features) -> None:
    """Raise SynthesizerError if a motion cannot be fitted to the song."""
    if features.duration < SHORTEST:
        raise SynthesizerError(
            f"the song lasts {float(features.duration):.2f} s, and hippo needs at least {SHORTEST:g} s to fit its "
            f"motion: render it without --synthesizer"
        )
    if not any(hippo.weights.get(name, 1.0) > 0 for name in centred_targets(target_tables(features))):
        raise SynthesizerError(
            "nothing changes in the song, or all that changes has weight 0, so there is nothing to fit a motion to: "
            "check the sound file and --weight"
        )


def _fitted_to_pictures(
    hippo: Hippo, patch: Patch, features: Features, generator: Generator | None, progress: Progress
) -> FloatArray:
    """Motion (F, 17) on the video's frames."""
    from audioreactive.learn.fits import kept_or_made
    from audioreactive.learn.sight import Stage, fit

    if generator is None:
        raise SynthesizerError(
            f"the motion of the synthesizer {hippo.name!r} is fitted to what is seen, so it needs the generator whose "
            'pictures it moves: audioreactive.motion(..., generator=...); aim = "inputs" does without'
        )
    alone = patch.model_copy(update={"tempo_factor": 1.0})  # the features are at that tempo already
    motion = kept_or_made(
        alone, hippo, features, generator, lambda: fit(Stage.of(alone, features, generator), hippo, progress).motion
    )
    return interpolated(motion, float(RATE), features.times)


def _fitted(hippo: Hippo, features: Features, progress: Progress) -> FloatArray:
    """Motion (F, 17) on the video's frames."""
    import torch

    from audioreactive.learn.decoders import residual_motion
    from audioreactive.learn.hippo import fit

    with progress.track("fitting", hippo.steps, "step") as advance:
        result = fit(
            centred_targets(target_tables(features)),
            rate=float(RATE),
            coefficients=hippo.coefficients,
            steps=hippo.steps,
            weights=hippo.weights,
            correction=hippo.correction,
            calm=hippo.calm,
            seed=hippo.motion_seed,
            advance=foretelling(advance, hippo.steps, progress, "fitting the motion to the song"),
        )
    # Evaluated at the fitted frames only, because 512 polynomials may have any values between them.
    envelopes = result.windows.reconstruct(result.coefficients, np.arange(result.windows.frames, dtype=np.float64))
    motion: FloatArray = residual_motion(torch.from_numpy(envelopes), filled=True).numpy()
    return interpolated(motion, float(RATE), features.times)


def _inferred(trained: Trained, features: Features) -> FloatArray:
    """Motion (F, 17) on the video's frames."""
    from audioreactive.learn.model_file import embedded_model

    model = embedded_model(trained.model, f"the synthesizer {trained.name!r} of the preset")
    motion = model.motion(input_table(features), trained.motion_seed)
    assert len(motion) == frames_at_rate(features)
    return interpolated(motion, float(RATE), features.times)
