"""A studio in a process of its own, for `studio.py`: killed while it saves, and told what makes no sense."""

from __future__ import annotations

import contextlib
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator

OPENING = 3600.0
"""Seconds for which a project may take to open."""


@dataclass(frozen=True)
class Running:
    """A studio that is running."""

    process: subprocess.Popen[str]
    address: str


def click_song(path: Path, seconds: float = 40) -> Path:
    """Write a song with a click at every half second and two kinds of part."""
    import soundfile

    rate = 44_100
    block = 20 * rate
    with soundfile.SoundFile(path, "w", rate, 1) as file:
        for start in range(0, round(seconds * rate), block):
            times = np.arange(start, min(start + block, round(seconds * rate))) / rate
            chord = 0.06 * np.sin(2 * np.pi * np.where(times % 20 < 10, 220, 330) * times)
            click = 0.8 * np.exp(-(times % 0.5) * 900) * (times % 0.5 < 0.01)
            file.write((chord + click).astype(np.float32))
    return path


@contextlib.contextmanager
def running(song: Path, *arguments: str) -> Iterator[Running]:
    """Start the studio on a song."""
    studio = started(song, *arguments)
    try:
        yield studio
    finally:
        studio.process.terminate()
        studio.process.wait()


def started(song: Path, *arguments: str) -> Running:
    """Start the studio on a song; whoever starts it ends it."""
    command = [sys.executable, "-m", "audioreactive", "studio", str(song), "--no-browser", "-q", *arguments]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8")
    assert process.stdout is not None
    return Running(process, process.stdout.readline().strip())


@contextlib.contextmanager
def connected(studio: Running) -> Iterator[Any]:
    """Connect as a page does, once the project is open."""
    from websockets.sync.client import connect
    from websockets.typing import Origin

    parts = urlsplit(studio.address)
    origin = Origin(f"http://{parts.netloc}")
    address = f"ws://{parts.netloc}/socket?{parts.query}&take=1"
    with connect(address, origin=origin, max_size=1 << 24, open_timeout=OPENING) as socket:
        until(socket, "renders")
        yield socket


def until(socket: Any, kind: str, seconds: float = OPENING) -> dict[str, Any]:
    """Take messages until one of a kind arrives."""
    end = time.monotonic() + seconds
    while (left := end - time.monotonic()) > 0:
        told = socket.recv(timeout=left)
        if isinstance(told, str):
            message: dict[str, Any] = json.loads(told)
            if message["type"] == kind:
                return message
    raise TimeoutError(f"no {kind} came")


def resident(pid: int) -> int:
    """Memory of a process in MB."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text("utf-8").splitlines():
            if line.startswith("VmRSS"):
                return int(line.split()[1]) // 1024
    return 0


def kills(song: Path, times: int) -> dict[str, object]:
    """Kill a studio while it saves, again and again; how many edits each new start lacks."""
    draw = random.Random(1)
    lacking: Counter[int] = Counter()
    opened = number = 0
    for _ in range(times + 1):
        studio = started(song)
        try:
            with connected(studio) as socket:
                if number:
                    opened += 1
                    lacking[number - _strength(until_state(socket))] += 1
                end = time.monotonic() + draw.uniform(0.2, 2.0)  # a save follows 0.7 s after an edit
                while time.monotonic() < end:
                    number += 1
                    edit = {"kind": "set", "section": 0, "path": "noise.strength", "value": number / 1000}
                    socket.send(json.dumps({"type": "edit", "edit": edit}))
                    until(socket, "state")
                    time.sleep(draw.choice((0.0, 0.05, 0.75)))
                number += 1
                edit = {"kind": "set", "section": 0, "path": "noise.strength", "value": number / 1000}
                socket.send(json.dumps({"type": "edit", "edit": edit}))
                time.sleep(draw.uniform(0, 0.02))
                studio.process.send_signal(signal.SIGKILL)
        except OSError:
            pass
        finally:
            studio.process.kill()
            studio.process.wait()
    return {
        "kills": times,
        "projects that opened": opened,
        "edits that were lacking: times": dict(sorted(lacking.items())),
    }


def until_state(socket: Any) -> dict[str, Any]:
    """Ask for the document as it is, by an edit that changes nothing."""
    socket.send(json.dumps({"type": "redo"}))
    state: dict[str, Any] = until(socket, "state")["state"]
    return state


def _strength(state: dict[str, Any]) -> int:
    patch = state["patches"][state["sections"][0]["label"]]
    return round(1000 * float(patch["noise"]["strength"]))


VALID = (
    {"type": "show", "view": "main", "section": 0, "at": 0, "credit": 1},
    {
        "type": "show",
        "view": "tile0",
        "section": 0,
        "edit": {"kind": "redraw", "section": 0, "seed": 3, "keep": ["palette"]},
    },
    {"type": "edit", "edit": {"kind": "set", "section": 0, "path": "noise.strength", "value": 1}},
    {"type": "edit", "edit": {"kind": "count", "count": 3}},
    {"type": "credit", "view": "main", "clip": 1, "count": 3},
    {"type": "at", "frame": 3, "playing": False},
    {"type": "lost", "view": "main", "clip": 1, "frames": [1, 2]},
    {"type": "refine", "clip": 1, "frame": 2},
    {"type": "ask", "what": "palette", "section": 0, "seeds": [1]},
    {"type": "render", "deliveries": [{"name": "../x", "size": "0x0", "folder": "/etc", "fps": "1e9"}]},
    {"type": "cancel", "job": 1},
    {"type": "hide", "view": "tile3"},
)
ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    2**70,
    1e308,
    "",
    "\x00",
    "9" * 400,
    "../../etc/passwd",
    [],
    {},
    [[[[]]]],
    "noise",
    {"kind": "set"},
)
"""Values that take the place of others."""


def malformed(draw: random.Random) -> str:
    """Make a message that is nearly one: something in it is replaced, missing, cut off or damaged."""
    message = json.loads(json.dumps(draw.choice(VALID)))
    for _ in range(draw.choice((1, 1, 2, 3))):
        part = message
        while True:
            if not part:
                break
            key = draw.choice(list(part) if isinstance(part, dict) else range(len(part)))
            if isinstance(part[key], dict | list) and draw.random() < 0.6:
                part = part[key]
                continue
            if draw.random() < 0.2:
                del part[key]
            else:
                part[key] = draw.choice(ODD)
            break
    text = json.dumps(message)
    if draw.random() < 0.2:
        text = text[: draw.randrange(len(text) + 1)]
    if draw.random() < 0.1:
        at = draw.randrange(len(text) + 1)
        text = text[:at] + draw.choice(('"', "{", "\\u0000", "é", "\U0001f600", "[" * 5000)) + text[at:]
    return text


def messages(studio: Running, count: int) -> dict[str, object]:
    """Send malformed messages, a few hundred at a time; the server has to answer after each."""
    draw = random.Random(1)
    answers: Counter[str] = Counter()
    with connected(studio) as socket:
        before = resident(studio.process.pid)
        for begin in range(0, count, 100):
            for _ in range(min(100, count - begin)):
                socket.send(malformed(draw))
            socket.send('{"type":"ping"}')
            while True:
                told = socket.recv(timeout=OPENING)
                kind = "frame" if isinstance(told, bytes) else json.loads(told)["type"]
                if kind == "pong":
                    break
                answers[kind] += 1
    with connected(studio) as socket:
        state = until_state(socket)
    return {
        "messages": count,
        "answers": dict(answers.most_common()),
        "server": "lives" if studio.process.poll() is None else "ended",
        "sections afterwards": len(state["sections"]),
        "memory before and after, MB": [before, resident(studio.process.pid)],
    }


def table(found: dict[str, object]) -> None:
    """Print what was found."""
    for name, value in found.items():
        print(f"{name:42} {value}")
