"""Turns any song and any StyleGAN2 model into a music video in which every motion can be traced to something heard.

    import audioreactive

    audioreactive.render("song.mp3", "song.mp4", preset="pulse", size="720p", fps=30)
    features = audioreactive.analyze_file("song.mp3", fps=24)
    patch = audioreactive.Patch.random(42)

Names are imported when they are first used: `import audioreactive` costs nothing.
"""

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from audioreactive.correlation import ScoreCard, score
    from audioreactive.errors import AudioReactiveError
    from audioreactive.features import Features, analyze, analyze_file
    from audioreactive.patches.schema import Patch
    from audioreactive.pipeline import render
    from audioreactive.presets import Preset, load_preset, save_preset
    from audioreactive.production import Rendered, RenderSettings

_HOMES = {
    "AudioReactiveError": "errors",
    "Features": "features",
    "Patch": "patches.schema",
    "Preset": "presets",
    "RenderSettings": "production",
    "Rendered": "production",
    "ScoreCard": "correlation",
    "analyze": "features",
    "analyze_file": "features",
    "load_preset": "presets",
    "render": "pipeline",
    "save_preset": "presets",
    "score": "correlation",
}

__all__ = [
    "AudioReactiveError",
    "Features",
    "Patch",
    "Preset",
    "RenderSettings",
    "Rendered",
    "ScoreCard",
    "analyze",
    "analyze_file",
    "load_preset",
    "render",
    "save_preset",
    "score",
]


def __getattr__(name: str) -> object:
    if name in _HOMES:
        return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
