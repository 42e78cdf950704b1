"""OSC both ways, MIDI with learning, and the page."""

from __future__ import annotations

import os
import socket
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from audioreactive.errors import LiveError
from audioreactive.live.midi import Control, Mapping, MidiControls, load_mapping, save_mapping
from audioreactive.live.osc import OscIn, OscOut, handle
from audioreactive.live.serving import Served

PATIENCE = 600
"""Seconds, only so that a failure ends."""


class Deck:
    """Takes commands, and keeps them."""

    def __init__(self) -> None:
        self.asked: list[tuple[Any, ...]] = []
        self.changed: list[Any] = []
        self.news = threading.Event()

    def ask(self, *command: Any) -> None:
        self.asked.append(command)
        self.news.set()

    def numbers(self) -> dict[str, float]:
        return {"latents.reach.0": 0.5, "noise.strength": 3.0}

    def every_number(self) -> set[str]:
        return {*self.numbers(), "latents.sequences.7.intensity"}


class Words:
    """A loop that says words."""

    def __init__(self) -> None:
        self.said: list[str] = []
        self.before_frame: list[Any] = []

    def say(self, word: str) -> None:
        self.said.append(word)


def free_port(kind: int = socket.SOCK_DGRAM) -> int:
    with socket.socket(socket.AF_INET, kind) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def test_osc_sets_numbers_and_acts() -> None:
    deck = Deck()
    handle(deck, "/audioreactive/set/latents/reach/0", (0.25,))  # type: ignore[arg-type]
    handle(deck, "/audioreactive/preset", (3,))  # type: ignore[arg-type]
    handle(deck, "/elsewhere/next", ())  # type: ignore[arg-type]
    assert deck.asked == [("latents.reach.0", 0.25), ("preset", 3)]


def test_osc_comes_in_and_goes_out_over_the_network() -> None:
    pytest.importorskip("pythonosc")
    deck, words, port = Deck(), Words(), free_port()
    listening = OscIn(port, deck)  # type: ignore[arg-type]
    try:
        out = OscOut(f"127.0.0.1:{port}", words, deck)  # type: ignore[arg-type]
        out._send("/next", [1.0])
        assert deck.news.wait(PATIENCE)
        assert deck.asked == [("next", 1.0)]
        out.close()
        with pytest.raises(LiveError, match=f"the port {port} cannot be used for OSC"):
            OscIn(port, deck)  # type: ignore[arg-type]
    finally:
        listening.close()
    with pytest.raises(LiveError, match="'9001' is no address for OSC"):
        OscOut("9001", words, deck)  # type: ignore[arg-type]


def test_a_moved_control_learns_a_number_and_keeps_it(tmp_path: Path) -> None:
    deck, words, path = Deck(), Words(), tmp_path / "knobs.toml"
    controls = MidiControls(deck, words, path)  # type: ignore[arg-type]
    controls.learn()
    assert words.said[-1] == "move a control for latents.reach.0"
    controls.handle("cc", 0, 21, 127)
    assert deck.asked == [("latents.reach.0", 2.0)]
    again = MidiControls(deck, words, path)  # type: ignore[arg-type]
    again.handle("cc", 0, 21, 0)
    again.handle("cc", 0, 22, 127)
    assert deck.asked[1:] == [("latents.reach.0", 0.0)]
    controls.learn()
    controls.learn()
    controls.handle("cc", 0, 21, 64)
    assert load_mapping(path).controls == (Control(midi="cc 0 21", to="noise.strength", high=6.0),)
    controls.learn()
    controls.learn()
    controls.learn()
    assert controls.learning is None


def test_notes_act(tmp_path: Path) -> None:
    deck = Deck()
    save_mapping(Mapping(controls=(Control(midi="note 9 36", to="next"),)), tmp_path / "pads.toml")
    controls = MidiControls(deck, Words(), tmp_path / "pads.toml")  # type: ignore[arg-type]
    controls.handle("note", 9, 36, 1)
    assert deck.asked == [("next",)]


@pytest.mark.parametrize(
    "text",
    ["controls = 3", '[[controls]]\nmidi = "knob"\nto = "next"', "\x00", '[[controls]]\nmidi="cc 0 1"\nto="a"\nx=1'],
)
def test_a_bad_mapping_is_told_in_a_sentence(tmp_path: Path, text: str) -> None:
    path = tmp_path / "bad.toml"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LiveError, match="is no mapping of controls"):
        load_mapping(path)


def test_a_mapping_is_never_waited_for_and_has_an_end(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for path, words in ((tmp_path / "pipe", "it is a pipe"), (Path("/dev/zero"), "it is a device")):
        with pytest.raises(LiveError, match=words):
            load_mapping(path)
    with (tmp_path / "long.toml").open("wb") as file:
        file.truncate(1 << 40)
    with pytest.raises(LiveError, match="it has more than"):
        load_mapping(tmp_path / "long.toml")


def test_the_page_shows_pictures_to_those_with_its_address() -> None:
    deck = Deck()
    served = Served(0, deck)  # type: ignore[arg-type]
    try:
        root = served.address.partition("/?")[0]
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(f"{root}/stream", timeout=PATIENCE)
        assert refused.value.code == 403
        refused.value.close()
        with urllib.request.urlopen(served.address, timeout=PATIENCE) as page:
            assert b"/stream?token=" in page.read()
        request = urllib.request.Request(f"{root}/act/next?token={served.token}", method="POST")
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            assert answer.status == 200
        assert deck.asked == [("next",)]
        stream = urllib.request.urlopen(f"{root}/stream?token={served.token}", timeout=PATIENCE)
        over = threading.Event()

        def show() -> None:
            while not over.wait(0.02):
                served.show(np.zeros((36, 64, 3), np.uint8), "")

        shower = threading.Thread(target=show, daemon=True)
        shower.start()
        head = stream.read(120)
        stream.close()
        over.set()
        shower.join()
        assert b"--picture" in head and b"image/jpeg" in head and b"\xff\xd8" in head
    finally:
        served.close()


def test_what_a_mapping_cannot_move_is_told(tmp_path: Path) -> None:
    path, words = tmp_path / "knobs.toml", Words()
    targets = ("latents.reech.0", "next", "latents.sequences.2.intensity")
    path.write_text("\n".join(f'[[controls]]\nmidi = "cc 0 {k}"\nto = "{to}"' for k, to in enumerate(targets)), "utf-8")
    MidiControls(Deck(), words, path)  # type: ignore[arg-type]
    assert words.said == ["latents.reech.0 is no number of these presets: did you mean 'latents.reach.0'?"]
    MidiControls(Deck(), words, tmp_path / "none.toml")  # type: ignore[arg-type]
    assert words.said[1].startswith("none.toml is not there yet")
