"""Turn any song into a music video, painted or by a StyleGAN model, whose every motion follows the music.

    import audioreactive as ar

    ar.render("song.mp3", "song.mp4", preset="pulse")

    features = ar.analyze_file("song.mp3", fps=24)
    generator = ar.load_generator("abstract.pkl")
    inputs = ar.motion(ar.random_patch(42), features).on(generator)
    frames = ar.render_frames(generator, inputs, 0, 100)

Names are imported when they are first used, so that `import audioreactive` is quick.
"""

import importlib
import inspect
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from audioreactive.api import iter_frames, load_generator, motion, render, render_frames
    from audioreactive.correlation import ScoreCard, score
    from audioreactive.errors import AudioReactiveError, Cancelled
    from audioreactive.features import Features, analyze, analyze_file
    from audioreactive.generators import Generator
    from audioreactive.patches.motion import Inputs, Motion
    from audioreactive.patches.preset import Preset
    from audioreactive.patches.presets import load_preset, save_preset
    from audioreactive.patches.randomizer import random_patch
    from audioreactive.patches.schema import Patch
    from audioreactive.patches.sections import Section
    from audioreactive.pipeline.production import Rendered
    from audioreactive.progress import Step

    __version__: str

# Read when PyTorch is loaded: its threads, and the painter's, then sleep while they wait for one another. Otherwise
# they keep the cores from the encoder, and a render on two cores takes twice as long.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

_HOMES = {
    "AudioReactiveError": "errors",
    "Cancelled": "errors",
    "Features": "features",
    "Generator": "generators",
    "Inputs": "patches.motion",
    "Motion": "patches.motion",
    "Patch": "patches.schema",
    "Preset": "patches.preset",
    "Rendered": "pipeline.production",
    "ScoreCard": "correlation",
    "Section": "patches.sections",
    "Step": "progress",
    "analyze": "features",
    "analyze_file": "features",
    "iter_frames": "api",
    "load_generator": "api",
    "load_preset": "patches.presets",
    "motion": "api",
    "random_patch": "patches.randomizer",
    "render": "api",
    "render_frames": "api",
    "save_preset": "patches.presets",
    "score": "correlation",
}

__all__ = [
    "AudioReactiveError",
    "Cancelled",
    "Features",
    "Generator",
    "Inputs",
    "Motion",
    "Patch",
    "Preset",
    "Rendered",
    "ScoreCard",
    "Section",
    "Step",
    "__version__",
    "analyze",
    "analyze_file",
    "iter_frames",
    "load_generator",
    "load_preset",
    "motion",
    "random_patch",
    "render",
    "render_frames",
    "save_preset",
    "score",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        found: object = getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
        if inspect.isfunction(found):
            from audioreactive._support.keywords import with_keywords

            found = with_keywords(found)
        globals()[name] = found
        return found
    if name == "__version__":
        from importlib.metadata import version

        return version("audioreactive")
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__
