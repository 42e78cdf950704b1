"""MIDI controllers, and the file that says which control moves which number.

While learning, the screen names a number; the control that is moved next gets it. Mappings are TOML, for people to read
and to share:

    [[controls]]
    midi = "cc 0 21"          # kind, channel from 0, number
    to = "latents.reach.0"    # an address, or an action such as next
    low = 0.0
    high = 2.0
"""

from __future__ import annotations

import re
import tomllib
from typing import TYPE_CHECKING, Annotated, Any, Final

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from audioreactive._support.files import read_regular, write_aside
from audioreactive.errors import LiveError, did_you_mean, printable, shown
from audioreactive.live.deck import ACTIONS

if TYPE_CHECKING:
    from pathlib import Path

    from audioreactive.live.deck import Deck
    from audioreactive.live.loop import Loop

LACKING: Final = "MIDI needs a few more packages: pip install 'audioreactive[live]'"
LARGEST_FILE: Final = 1 << 20
LEARNED_HIGH: Final = 2.0
"""Value of a learned control at its upper end, for numbers that are at most half of it; else twice the number."""


class Control(BaseModel):
    """One control of a mapping."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    midi: Annotated[str, Field(pattern=r"^(cc|note) ([0-9]|1[0-5]) ([0-9]{1,2}|1[01][0-9]|12[0-7])$")]
    to: Annotated[str, Field(min_length=1, max_length=200)]
    low: float = 0.0
    high: float = 1.0


class Mapping(BaseModel):
    """File of a mapping."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    controls: Annotated[tuple[Control, ...], Field(max_length=2048)] = ()

    def with_control(self, control: Control) -> Mapping:
        """Return the mapping with a control, in the place of others on the same knob."""
        return Mapping(controls=(*(c for c in self.controls if c.midi != control.midi), control))


def load_mapping(path: Path) -> Mapping:
    """Read a mapping; an empty one if there is no such file yet.

    Raises:
        LiveError: the file is no mapping.
    """
    if not path.exists():
        return Mapping()
    try:
        return Mapping.model_validate(tomllib.loads(read_regular(path, LARGEST_FILE).decode()))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as error:
        raise LiveError(f"{str(path)!r} is no mapping of controls ({printable(str(error), 200)})") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the file"
        raise LiveError(f"{str(path)!r} is no mapping of controls: {where}: {printable(first['msg'], 200)}") from None


def save_mapping(mapping: Mapping, path: Path) -> None:
    """Write a mapping."""
    import tomli_w

    with write_aside(path) as file:
        tomli_w.dump(mapping.model_dump(mode="json"), file)


class MidiControls:
    """Turns MIDI messages into commands.

    Args:
        deck: carries them out.
        loop: says words.
        path: file of the mapping; None: it is not kept.
    """

    def __init__(self, deck: Deck, loop: Loop, path: Path | None) -> None:
        self._deck, self._loop, self._path = deck, loop, path
        self.mapping = load_mapping(path) if path is not None else Mapping()
        if path is not None and not path.exists():
            loop.say(f"{path.name} is not there yet: it is written when a control is learned")
        shapes = {_shape(address) for address in deck.every_number()}
        for control in self.mapping.controls:
            if control.to not in ACTIONS and _shape(control.to) not in shapes:
                loop.say(f"{control.to} is no number of these presets{did_you_mean(control.to, deck.numbers())}")
        self.learning: str | None = None
        """Address that the next moved control gets."""

    def learn(self) -> None:
        """Begin to learn, or go on to the next number; after the last one, end."""
        addresses = list(self._deck.numbers())
        at = addresses.index(self.learning) + 1 if self.learning in addresses else 0
        self.learning = addresses[at] if at < len(addresses) else None
        self._loop.say(f"move a control for {self.learning}" if self.learning else "learning ends")

    def handle(self, kind: str, channel: int, number: int, value: int) -> None:
        """Take a message: kind cc or note, and a value from 0 to 127."""
        name = f"{kind} {channel} {number}"
        if self.learning is not None:
            self._learn(name)
        for control in self.mapping.controls:
            if control.midi != name:
                continue
            if control.to not in ACTIONS:
                self._deck.ask(control.to, control.low + (control.high - control.low) * value / 127)
            elif value >= 64 or kind == "note":
                self._deck.ask(control.to)

    def _learn(self, name: str) -> None:
        address, self.learning = self.learning, None
        assert address is not None
        now = abs(self._deck.numbers().get(address, 1.0))
        high = max(2 * now, LEARNED_HIGH) if now > LEARNED_HIGH / 2 else LEARNED_HIGH
        self.mapping = self.mapping.with_control(Control(midi=name, to=address, low=0.0, high=high))
        if self._path is not None:
            save_mapping(self.mapping, self._path)
        self._loop.say(f"{name} moves {address}")


def _shape(address: str) -> str:
    """Address without its positions: a mapping is for many presets, with more or fewer sub-sequences."""
    return re.sub(r"\.\d+", "", address)


class MidiPort:
    """An open MIDI input; `close` lets go of it.

    Raises:
        LiveError: a package is missing, or there is no such controller.
    """

    def __init__(self, text: str, controls: MidiControls) -> None:
        try:
            import mido

            names = mido.get_input_names()
        except ModuleNotFoundError:
            raise LiveError(LACKING) from None
        except (OSError, RuntimeError, ImportError, SystemError) as error:
            raise LiveError(
                f"there is no MIDI here ({printable(str(error), 200)}): connect a controller, or leave out --midi"
            ) from None
        found = next((name for name in names if text.lower() in name.lower()), None)
        if found is None:
            known = f"there are {', '.join(names)}" if names else "there is none"
            raise LiveError(f"there is no MIDI controller {shown(text)}: {known}")
        self._controls = controls
        self._port = mido.open_input(found, callback=self._take)

    def _take(self, message: Any) -> None:
        if message.type == "control_change":
            self._controls.handle("cc", message.channel, message.control, message.value)
        elif message.type == "note_on" and message.velocity:
            self._controls.handle("note", message.channel, message.note, message.velocity)

    def close(self) -> None:
        """Stop listening."""
        self._port.close()
