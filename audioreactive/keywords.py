"""Settings of a render by their names, with values as people write them: fps=30, size="720p", start="1:20"."""

from __future__ import annotations

from dataclasses import fields
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final, get_args

from audioreactive.errors import RenderError, did_you_mean, shown
from audioreactive.exact import exact_time
from audioreactive.patches.knobs import Knobs
from audioreactive.production import RenderSettings

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SETTINGS: Final = tuple(field.name for field in fields(RenderSettings))
KNOBS: Final = tuple(field.name for field in fields(Knobs))


def split_keywords(keywords: Mapping[str, Any], settings: RenderSettings | None) -> tuple[RenderSettings, Knobs]:
    """Settings and knobs from the keywords of `render`, or the settings that were given as a whole.

    Raises:
        TypeError: there is no keyword of this name, or settings are given both as a whole and by name.
        RenderError: a value is none for its setting.
        PresetError: a knob is out of its range.
    """
    for name in keywords:
        if name not in (*SETTINGS, *KNOBS):
            raise TypeError(f"render() has no keyword {name!r}{did_you_mean(name, (*SETTINGS, *KNOBS))}")
    named = {name: value for name, value in keywords.items() if name in SETTINGS}
    if settings is not None and named:
        raise TypeError(f"render() takes settings= or {', '.join(named)} by name, not both: put all into one of them")
    turned = {name: _number(name, value) for name, value in keywords.items() if name in KNOBS}
    if settings is None:
        settings = RenderSettings(**{name: _READ.get(name, _plain)(name, value) for name, value in named.items()})
    return settings, Knobs(**turned)


def _frame_rate(name: str, value: Any) -> Fraction | None:
    from audioreactive.pipeline import parse_frame_rate

    return None if value is None else parse_frame_rate(_text(value))


def _size(name: str, value: Any) -> tuple[int, int] | None:
    from audioreactive.generators import parse_size

    if value is None:
        return None
    if isinstance(value, tuple | list) and len(value) == 2:
        value = "x".join(map(str, value))
    return parse_size(str(value))


def _time(name: str, value: Any) -> Fraction | None:
    if value is None:
        return None
    try:
        return exact_time(_text(value))
    except ValueError:
        raise RenderError(f"{name}={shown(value)} is not a time, such as 95, 95.5 or '1:35'") from None


def _number(name: str, value: Any) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | Fraction):
        raise RenderError(f"{name}={shown(value)} is not a number, such as 0.5; 1 is as it is")
    return float(value)


def _one_of(choices: tuple[str, ...]) -> Callable[[str, Any], Any]:
    def check(name: str, value: Any) -> Any:
        if value is not None and value not in choices:
            close = did_you_mean(str(value), choices)
            raise RenderError(f"{name}={shown(value)} is none of {', '.join(choices)}{close}")
        return value

    return check


def _plain(name: str, value: Any) -> Any:
    return value


def _text(value: Any) -> str:
    """A number as its digits: 29.97 means 2997/100, and not the float that is nearest to it."""
    return f"{value:.12f}".rstrip("0").rstrip(".") if isinstance(value, float) else str(value)


def _choices() -> dict[str, tuple[str, ...]]:
    from audioreactive.features.names import BeatTracker
    from audioreactive.generators.devices import PRECISIONS
    from audioreactive.generators import FITS
    from audioreactive.video import VIDEO_ENCODERS

    return {
        "fit": tuple(FITS), "precision": PRECISIONS, "encoder": VIDEO_ENCODERS, "beat_tracker": get_args(BeatTracker),
    }  # fmt: skip


_READ: Final[dict[str, Callable[[str, Any], Any]]] = {
    "fps": _frame_rate,
    "size": _size,
    "start": _time,
    "duration": _time,
    "chunk": _time,
    **{name: _one_of(choices) for name, choices in _choices().items()},
}
