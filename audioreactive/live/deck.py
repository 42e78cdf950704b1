"""What a person can do while it plays, by keys, OSC, MIDI or the page: one place for all of them.

Conventions: numbers of a preset have addresses such as `latents.sequences.0.intensity`; commands may come from any
thread, and take effect before the next picture.
"""

from __future__ import annotations

import queue
from typing import TYPE_CHECKING, Any, Final

from audioreactive.errors import AudioReactiveError, LiveError, did_you_mean, printable, shown
from audioreactive.live.presets import rerolled
from audioreactive.live.show import check_patch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from audioreactive.live.loop import Loop
    from audioreactive.patches.preset import Preset

ACTIONS: Final = {
    "next": "play the next preset",
    "reroll": "draw other forms and colours",
    "preset": "play a preset by its number (from 1) or name",
    "black": "black picture, on and off",
    "freeze": "keep the scales of loudness and the rest as they are, on and off",
    "reset": "begin the scales anew",
    "stop": "end",
}
"""Name -> what it does."""
MOST_WAITING: Final = 1000
"""Most commands that wait; more are dropped."""


class Deck:
    """Carries out commands.

    Args:
        loop: the loop.
        presets: presets by number.
    """

    def __init__(self, loop: Loop, presets: Sequence[Preset]) -> None:
        self._loop, self._presets = loop, list(presets)
        self._waiting: queue.Queue[tuple[str, tuple[Any, ...]]] = queue.Queue(MOST_WAITING)
        self._rolls = 0
        self._frozen = False
        self.stopped = False
        self.changed: list[Callable[[str, float], None]] = []
        """Called with the address and the value of each number that was changed."""
        loop.before_frame.append(self._carry_out)

    def ask(self, name: str, *values: Any) -> None:
        """Ask for an action, or for a number at an address; from any thread."""
        try:
            self._waiting.put_nowait((name, values))
        except queue.Full:
            return

    def show(self, pixels: NDArray[np.uint8], word: str) -> None:
        """Show nothing: it is a screen so that `stop` ends the loop."""

    def closed(self) -> bool:
        """Whether somebody asked to end."""
        return self.stopped

    def numbers(self) -> dict[str, float]:
        """Addresses and values of all numbers of the preset that is played."""
        return numbers_of(self._loop.show.preset)

    def every_number(self) -> set[str]:
        """Addresses of all numbers of all presets."""
        return {address for preset in self._presets for address in numbers_of(preset)} | set(self.numbers())

    def _carry_out(self, now: float) -> None:
        latest: dict[str, tuple[Any, ...]] = {}
        while True:
            try:
                name, values = self._waiting.get_nowait()
            except queue.Empty:
                break
            if name in ACTIONS:
                self._try(name, values)
            else:
                latest[name] = values  # of a fader that was moved, only where it is now
        for name, values in latest.items():
            self._try(name, values)

    def _try(self, name: str, values: tuple[Any, ...]) -> None:
        try:
            self._do(name, values)
        except AudioReactiveError as error:
            self._loop.say(printable(str(error), 120))

    def _do(self, name: str, values: tuple[Any, ...]) -> None:
        show = self._loop.show
        match name:
            case "next":
                self._play((self._number() + 1) % len(self._presets))
            case "preset":
                self._play(self._chosen(values[0] if values else 1))
            case "reroll":
                self._rolls += 1
                show.play(rerolled(self._presets[self._number()], self._rolls))
            case "black":
                self._loop.dark = _switched(self._loop.dark, values)
            case "freeze":
                self._frozen = _switched(self._frozen, values)
                show.ear.freeze(self._frozen)
                self._loop.say("scales are frozen" if self._frozen else "scales follow again")
            case "reset":
                show.ear.reset()
                self._loop.say("scales begin anew")
            case "stop":
                self.stopped = True
            case _:
                self._set(name, values)

    def _number(self) -> int:
        playing = self._loop.show.preset.name
        return next((k for k, preset in enumerate(self._presets) if preset.name == playing), 0)

    def _chosen(self, what: Any) -> int:
        names = [preset.name for preset in self._presets]
        if isinstance(what, str) and what in names:
            return names.index(what)
        if isinstance(what, int | float) and 1 <= what <= len(names):
            return int(what) - 1
        raise LiveError(f"there is no preset {shown(what)} among {', '.join(names)}")

    def _play(self, number: int) -> None:
        preset = self._presets[number]
        check_patch(preset.patch)
        self._loop.show.play(preset)
        self._loop.say(preset.name)

    def _set(self, address: str, values: tuple[Any, ...]) -> None:
        from audioreactive.patches.overrides import override

        known = self.numbers()
        if address not in known:
            raise LiveError(f"there is no number {shown(address)}{did_you_mean(address, known)}")
        if not values or isinstance(values[0], bool) or not isinstance(values[0], int | float):
            raise LiveError(f"{address} is a number, not {shown(values[0] if values else None)}")
        value = float(values[0])
        written = repr(round(value) if isinstance(known[address], int) else value)
        self._loop.show.play(override(self._loop.show.preset, (f"{address} = {written}",)))
        for tell in self.changed:
            tell(address, value)


def numbers_of(preset: Preset) -> dict[str, float]:
    """Addresses and values of all numbers of a preset."""
    return dict(_numbers(preset.patch.model_dump(mode="json", exclude_none=True), ""))


def _numbers(node: Any, prefix: str) -> Iterator[tuple[str, float]]:
    if isinstance(node, dict | list):
        pairs = node.items() if isinstance(node, dict) else enumerate(node)
        for key, value in pairs:
            yield from _numbers(value, f"{prefix}.{key}" if prefix else str(key))
    elif isinstance(node, int | float) and not isinstance(node, bool):
        yield prefix, node


def _switched(before: bool, values: tuple[Any, ...]) -> bool:
    return bool(values[0]) if values else not before
