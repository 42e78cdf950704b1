"""The command line as a target: whatever is asked for, it ends with 0, 1 or 2, and what it says are printable lines.

An input is the arguments, parted by NULs. What they name lies in a small folder; what would take long (listening,
networks, ffmpeg, training) is a stand-in that refuses.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import shutil
import signal
import sys
import warnings
import zlib
from functools import cache
from typing import TYPE_CHECKING, Any, Final, NoReturn
from unittest import mock

import click

from audioreactive.commands import group, run
from audioreactive.errors import RenderError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path
    from random import Random

MOST_ARGUMENTS: Final = 40
LEAST_PRESET: Final = b"schema = 1\n[palette]\nseeds = [1]\n[latents]\nbase = [0]\n[noise]\nseeds = [1]\nbase = [0]\n"
FILES: Final = {"s.wav": b"RIFF", "s.mp4": b"no video", "p.toml": LEAST_PRESET, "m.safetensors": b"\x08" + bytes(15),
                "\u00fc.wav": b"RIFF", "caf\udce9.mp3": b"x", "-rf": b"x", "a.png": b"x"}  # fmt: skip
STAND_INS: Final = {
    "audioreactive.generators": ("open_generator",),
    "audioreactive.pipeline.listening": ("listen",),
    "audioreactive.pipeline.planning": ("listen", "open_generator"),
    "audioreactive.pipeline.preparing": ("prepare",),
    "audioreactive.correlation": ("score",),
    "audioreactive.flashes": ("find_flashes",),
    "audioreactive.learn.dataset": ("hear_music",),
    "audioreactive.video": ("read_preset",),
    "stylegan_ops": ("convert_checkpoint", "inspect_checkpoint"),
    "audioreactive.commands.doctor": ("_devices", "_video", "_ops"),
    "webbrowser": ("open",),
}
"""Module -> functions that take long, or leave the process."""
SERVER: Final = "audioreactive.studio.server"
"""Module whose servers do not end by themselves; it needs packages that may not be there."""
VALUES: Final = (
    "1", "0", "-1", "1.5", "1e9", "1e999999999", "nan", "inf", "9" * 400, "24000/1001", "1/0", "1x1", "1920x1080", "x",
    "99999x99999", "1:35", "::", "66,230,389-400", "5-1", "1-99999999999", "random", "auto", "cpu", "cuda:99", "pulse",
    "hippo", "all", "s.wav", "s.mp4", "p.toml", "m.safetensors", "d", "fifo", "link", "gone", "-rf", "--", "-",
    "", "caf\udce9.mp3", "\u00fc.wav", "x" * 300 + ".mp4", "out.mp4", "out.toml", "out.png", "out.json",
    "out.safetensors", "out", "drums=s.wav", "drums=", "=x", "onsets=10", "onsets=nan", "palette.seeds = [1]",
    "noise.sequences.*.sigma *= 2", "a.b = 1", "*.*.* += 1", "latents.sequences.999 = 1", "palette.truncation *= 1e308",
    "\x1b[2J", "\u202e", "two\nlines", "%d", "$(touch owned)", "\u0661", "\u00b2",
    "1_000", " 1", "palette.seeds.0 = " + "[" * 500, "fp16",
    "x264", "librosa",
)  # fmt: skip


def read_arguments(data: bytes, scratch: Path) -> None:
    """Call the command line with the arguments, in a folder of its own."""
    words = [os.fsdecode(word.replace(b"/", b"_")) for word in data.split(b"\0")][:MOST_ARGUMENTS]
    place = scratch / "place"
    shutil.rmtree(place, ignore_errors=True)
    _furnish(place)
    encoding = ("utf-8", "ascii", "latin-1")[zlib.crc32(data) % 3]
    said, told = io.TextIOWrapper(io.BytesIO(), encoding), io.TextIOWrapper(io.BytesIO(), encoding, "backslashreplace")
    with contextlib.chdir(place), _in_private(said, told, words):
        try:
            run(group, "audioreactive")
        except SystemExit as end:
            code = end.code
    told.flush()
    lines = told.buffer.getvalue().decode("utf-8" if encoding == "ascii" else encoding, "replace").split("\n")
    if code not in (0, 1, 2, None):
        raise AssertionError(f"it ended with {code}: {lines[-3:]}")
    if any("Traceback" in line or not line.replace("\r", "").isprintable() for line in lines):
        raise AssertionError(f"it says {lines!r}"[:300])
    if code == 2:
        raise RenderError(lines[-2] if len(lines) > 1 and len(lines[-2]) > 10 else f"refused: {lines!r}"[:200])


def _furnish(place: Path) -> None:
    (place / "d").mkdir(parents=True)
    for name, content in FILES.items():
        (place / name).write_bytes(content)
    os.mkfifo(place / "fifo")
    (place / "link").symlink_to("gone")


@contextlib.contextmanager
def _in_private(said: io.TextIOWrapper, told: io.TextIOWrapper, words: list[str]) -> Iterator[None]:
    """A process's own things, as they were before at the end: arguments, streams, handlers."""
    handler, formatter = signal.getsignal(signal.SIGTERM), warnings.formatwarning
    with contextlib.ExitStack() as stack:
        for module, names in STAND_INS.items():
            for name in names:
                stack.enter_context(mock.patch(f"{module}.{name}", _refuse))
        if _has_studio():
            stack.enter_context(mock.patch(f"{SERVER}.server_of", _refuse))
        stack.enter_context(mock.patch.object(sys, "argv", ["audioreactive", *words]))
        stack.enter_context(contextlib.redirect_stdout(said))
        stack.enter_context(contextlib.redirect_stderr(told))
        try:
            yield
        finally:
            signal.signal(signal.SIGTERM, handler)
            warnings.formatwarning = formatter


def _refuse(*arguments: object, **options: object) -> NoReturn:
    raise RenderError("a stand-in renders nothing here")


@cache
def _has_studio() -> bool:
    """Whether the studio's packages are installed."""
    return all(importlib.util.find_spec(name) is not None for name in ("starlette", "uvicorn", "websockets"))


@cache
def _commands() -> tuple[tuple[tuple[str, ...], click.Command], ...]:
    """(words, command) of all commands."""
    found: list[tuple[tuple[str, ...], click.Command]] = []

    def visit(command: click.Command, words: tuple[str, ...]) -> None:
        if not isinstance(command, click.Group):
            found.append((words, command))
            return
        context = click.Context(command)
        for word in command.list_commands(context):
            if (below := command.get_command(context, word)) is not None:
                visit(below, (*words, word))

    visit(group, ())
    return tuple(found)


def mutate_arguments(data: bytes, draw: Random, change: Callable[[bytes], bytes]) -> bytes:
    """Another command with options of its own, or words added, taken away, and changed."""
    words = [os.fsdecode(word) for word in data.split(b"\0")]
    if draw.random() < 0.5:
        words = _plausible(draw)
    for _ in range(draw.choice((0, 1, 1, 2, 4))):
        place = draw.randrange(len(words) + 1)
        match draw.randrange(4):
            case 0:
                words.insert(place, draw.choice(VALUES))
            case 1 if words:
                del words[place % len(words)]
            case 2 if words:
                words[place % len(words)] = draw.choice(VALUES)
            case _ if words:
                changed = change(os.fsencode(words[place % len(words)]))
                words[place % len(words)] = os.fsdecode(changed.replace(b"\0", b""))
    return b"\0".join(map(os.fsencode, words))


def _plausible(draw: Random) -> list[str]:
    """A command with some of its options, most of them with a value that may fit."""
    words, command = draw.choice(_commands())
    made = [*words]
    for parameter in command.params:
        if isinstance(parameter, click.Option):
            if draw.random() < (0.8 if parameter.required else 0.2):
                made.append(draw.choice([*parameter.opts, *parameter.secondary_opts]))
                made += [] if parameter.is_flag else [_value(parameter.type, draw)]
        elif draw.random() < 0.9:
            made += [_value(parameter.type, draw) for _ in range(draw.choice((1, 1, 2)) if parameter.nargs < 0 else 1)]
    return made


def _value(kind: Any, draw: Random) -> str:
    if isinstance(kind, click.Choice) and draw.random() < 0.8:
        return str(draw.choice(list(kind.choices)))
    if isinstance(kind, click.Path) and draw.random() < 0.8:
        return draw.choice([value for value in VALUES if "." in value or value in ("d", "fifo", "link", "out")])
    return draw.choice(VALUES)


def seeds() -> dict[str, bytes]:
    """Name -> input: calls that people make."""
    calls = {
        "render": "render s.wav -o out.mp4 --seed 1 --size 64x64 --duration 1",
        "album": "render s.wav a.png -o d --preset pulse",
        "demo": "render --demo --dry-run",
        "sheet": "sheet s.wav --seeds 1-12 -o out.png",
        "score": "score s.mp4 --plot out.png --json out.json",
        "new": "patch new --seed 1 --set palette.truncation=0.5 -o out.toml",
        "diff": "patch diff pulse p.toml",
        "train": "train --music d -o out.safetensors --weight onsets=10",
        "convert": "model convert m.safetensors out.safetensors",
        "doctor": "doctor",
    }
    return {name: call.replace(" ", "\0").encode() for name, call in calls.items()}
