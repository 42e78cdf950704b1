"""What surrounds the loop: window, recording, controls and page, each only if it was asked for."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from audioreactive.live.inputs import SoundInput
    from audioreactive.live.loop import Loop, Screen
    from audioreactive.patches.preset import Preset

    Stage = Callable[[Loop], contextlib.AbstractContextManager[object]]


@dataclass(frozen=True)
class Extras:
    """What was asked for beside the picture."""

    window: bool = True
    fullscreen: bool = False
    display: int | None = None
    record: Path | None = None
    overwrite: bool = False
    osc: int | None = None
    osc_to: str | None = None
    midi: str | None = None
    mapping: Path | None = None
    serve: int | None = None
    say: Callable[[str], None] = print
    """Function that shows a sentence to the person at the terminal."""
    preset_text: Callable[[Preset], str] | None = None


@contextlib.contextmanager
def staged(extras: Extras, loop: Loop, presets: tuple[Preset, ...], sound: SoundInput) -> Iterator[None]:
    """Open what was asked for, and close it at the end."""
    with contextlib.ExitStack() as stack:
        yield
