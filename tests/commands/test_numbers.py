"""Numbers and devices on the command line: whatever is written there, a sentence."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from audioreactive.errors import RenderError
from audioreactive.generators.canvas import parse_size
from audioreactive.generators.devices import choose_device

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from conftest import Outcome

MANY = "9" * 5000
"""More digits than Python's `int` takes: it raises an error of its own."""

OPTIONS = {
    "render": (
        "--seed", "--palette", "--label", "--batch", "--crf", "--workers", "--best-of", "--motion-seed", "--truncation",
        "--fps", "--size", "--start", "--duration", "--chunk", "--tempo", "--tempo-range",
    ),
    "sheet": ("--height",),
    "palette": ("--label", "--height", "--truncation"),
    "train": ("--steps", "--seed", "--batch", "--hidden", "--learning-rate", "--depth"),
}  # fmt: skip


@pytest.mark.parametrize(("command", "option"), [(name, option) for name in OPTIONS for option in OPTIONS[name]])
@pytest.mark.parametrize(
    "value",
    [MANY, f"-{MANY}", f"1-{MANY}", f"0x{MANY}", "nan", "1e999", "inf", "\u0663\u0664" * 40, "\u00b2", "1_0", ""],
)
def test_numbers_without_end_are_a_sentence(
    command: str, option: str, value: str, call: Callable[..., Outcome], tmp_path: Path
) -> None:
    outcome = call(command, tmp_path / "nothing.wav", f"{option}={value}")
    assert outcome.code == 2
    assert "Traceback" not in outcome.err and len(outcome.err) < 1200


def test_numbers_in_their_ranges_are_taken(call: Callable[..., Outcome], tmp_path: Path) -> None:
    """Every number is accepted, and the missing song is reported."""
    for text in (
        "--seed=00042",
        "--palette=0,1-3, 5",
        "--label=+3",
        "--truncation=-1e0",
        "--size=0640x0480",
        "--crf= 18",
    ):
        outcome = call("render", tmp_path / "nothing.wav", text)
        assert outcome.code == 2 and "nothing.wav" in outcome.err, text


@pytest.mark.parametrize("value", ["\u0663", "\uff11\uff12", "0.\u0665"])
def test_digits_of_other_scripts_are_a_sentence(value: str, call: Callable[..., Outcome], tmp_path: Path) -> None:
    for option in ("--motion", "--seed", "--crf", "--truncation"):
        outcome = call("render", tmp_path / "nothing.wav", f"{option}={value}")
        assert outcome.code == 2 and "nothing.wav" not in outcome.err, option


@pytest.mark.parametrize(
    "words", ["--weight onsets={}", "--weight onsets=-{}", "--stem {}", "--stem rms={}", "--stem {}=a"]
)
def test_a_value_is_shown_in_short(words: str, call: Callable[..., Outcome], tmp_path: Path) -> None:
    outcome = call("render", tmp_path / "nothing.wav", *words.format(MANY).split())
    assert outcome.code == 2 and "..." in outcome.err and len(outcome.err) < 1200


def test_pieces_without_a_frame_are_a_sentence(call: Callable[..., Outcome], tmp_path: Path) -> None:
    outcome = call("render", tmp_path / "nothing.wav", "--chunk", "0")
    assert outcome.code == 2 and "pieces of 0 seconds hold no frame" in outcome.err


DEVICES = [
    "meta", "meta:0", "cpu:1", "cpu:99999999999999999999", "cuda:", "cuda:-1", "cuda:" + MANY, "hpu", "ipu", "xla",
    "privateuseone", "mkldnn", "toaster", "", " ", "cpu ", "CPU", "cpu\n", "\u0663", "\udcff", "\0", "a" * 5000,
    "cuda:\u0663", "\x1b[2J",
]  # fmt: skip


@pytest.mark.parametrize("name", DEVICES)
def test_odd_devices_are_a_sentence(name: str) -> None:
    """`meta` computes shapes and no numbers: it was taken, and the render ended in a traceback."""
    with pytest.raises(RenderError, match="cannot be used") as caught:
        choose_device(name)
    assert str(caught.value).isprintable() and len(str(caught.value)) < 500


@pytest.mark.parametrize("name", ["cuda", "cuda:7", "mps", "xpu:1"])
def test_devices_that_are_not_there_are_a_sentence(name: str) -> None:
    if name.startswith("cuda") and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    with pytest.raises(RenderError, match="cannot be used") as caught:
        choose_device(name)
    assert str(caught.value).isprintable()


def test_the_processor_has_one_name() -> None:
    assert choose_device("cpu") == choose_device("cpu:0") == torch.device("cpu")


@pytest.mark.parametrize("device", ["meta", "cuda:" + "9" * 5000])
def test_a_render_on_an_odd_device_is_a_sentence(device: str, call: Callable[..., Outcome], song: Path) -> None:
    outcome = call("render", song, "--device", device, "--dry-run")
    assert outcome.code == 2 and "cannot be used" in outcome.err and len(outcome.err) < 1000


@pytest.mark.parametrize(
    "text", ["640x", "x", "640x480x2", f"{MANY}x1", "1x" + MANY, "0x0", "-1x5", "\u0663x\u0663", "1e3x4"]
)
def test_sizes_are_a_sentence(text: str) -> None:
    with pytest.raises(RenderError, match="the size") as caught:
        parse_size(text)
    assert len(str(caught.value)) < 300
