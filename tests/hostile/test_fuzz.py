"""The fuzzer without its guide: the corpus, a few hundred changed inputs, and that the judge sees what is wrong."""

from __future__ import annotations

import contextlib
import math
import mmap
import os
import subprocess
import time
from dataclasses import replace
from random import Random
from typing import TYPE_CHECKING

import pytest

from audioreactive.errors import PresetError
from fuzz.judge import judge
from fuzz.mutators import MUTATORS, change_bytes, mutate_model
from fuzz.targets import CORPUS, TARGETS, Target

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

PROCESSES = ("audio", "videos", "sync")
"""Targets of which each input takes a process; only some of their seeds are read here, the others in the tests of
their rooms."""
SEEDS = [
    (name, path)
    for name, target in TARGETS.items()
    for path in target.corpus()
    if name not in PROCESSES or path.suffix in (".wav", ".mp4")
]
PATIENT = {name: replace(target, seconds=math.inf) for name, target in TARGETS.items()}
"""On a busy machine a moment takes longer; the fuzzer itself counts the processor's seconds."""
REFUSED = ("tags", "link", "other")
"""Seeds that are no more than a step on the way to something."""
CHANGES = {"presets": 100, "models": 100, "synthesizers": 100, "latents": 100, "clips": 60, "audio": 6, "videos": 3,
           "sync": 3, "metadata": 100, "folders": 100, "arguments": 100}  # fmt: skip
"""Inputs of each target: those that start ffmpeg take a tenth of a second."""


def test_the_corpus_is_small_and_whole() -> None:
    assert {path.name for path in CORPUS.iterdir()} == set(TARGETS) == set(MUTATORS)
    assert sum(path.stat().st_size for path in CORPUS.rglob("*") if path.is_file()) < 300_000


@pytest.mark.parametrize(("name", "path"), SEEDS, ids=[f"{name}-{path.name}" for name, path in SEEDS])
def test_every_seed_is_read(name: str, path: Path, tmp_path: Path) -> None:
    verdict = judge(PATIENT[name], path.read_bytes(), tmp_path)
    if name == "arguments":  # most need what is a stand-in there
        assert not verdict.is_finding, verdict
    else:
        assert verdict.kind == ("refusal" if path.name in REFUSED else "result"), verdict


@pytest.mark.parametrize("name", TARGETS)
def test_changed_seeds_are_read_or_refused(name: str, tmp_path: Path) -> None:
    target, draw = PATIENT[name], Random(7)
    seeds = [path.read_bytes() for path in target.corpus()]
    kinds = set()
    for _ in range(CHANGES[name]):
        data = draw.choice(seeds)
        for _ in range(draw.choice((1, 1, 3))):
            data = MUTATORS[name](data, draw, lambda part: change_bytes(part, draw))
        verdict = judge(target, data[: target.longest], tmp_path)
        kinds.add(verdict.kind)
        if verdict.is_finding:
            (tmp_path / "finding").write_bytes(data)
            pytest.fail(f"{verdict}: the input lies in {tmp_path / 'finding'}")
    assert "refusal" in kinds


def test_mutators_get_past_checksums(tmp_path: Path) -> None:
    """Of changed archives, most are still archives: it is the pickle inside that is another."""
    draw, whole = Random(1), 0
    seed = (CORPUS / "models" / "rosinality.pt").read_bytes()
    for _ in range(60):
        verdict = judge(TARGETS["models"], mutate_model(seed, draw, lambda part: change_bytes(part, draw)), tmp_path)
        whole += "zip archive" not in verdict.detail
    assert whole > 30


@pytest.mark.parametrize("header", [b'{"__metadata__": {"stylegan2": 7}}', b'{"__metadata__": []}', b"{}", b"[1, 2]"])
def test_mutators_bear_what_an_earlier_change_has_left(header: bytes) -> None:
    data, draw = len(header).to_bytes(8, "little") + header, Random(3)
    for _ in range(60):
        assert isinstance(mutate_model(data, draw, lambda part: change_bytes(part, draw)), bytes)


# The judge.


def reading(read: Callable[[bytes, Path], object]) -> Target:
    return replace(PATIENT["presets"], read=read, megabytes=100)


def fail(error: BaseException) -> Target:
    def read(data: bytes, scratch: Path) -> None:
        raise error

    return reading(read)


def test_errors_that_are_not_ours_are_findings(tmp_path: Path) -> None:
    for error in (ValueError("x" * 20), RecursionError("deep in it"), MemoryError(), SystemExit(0), AssertionError()):
        verdict = judge(fail(error), b"", tmp_path)
        assert verdict.kind == "error"
        assert type(error).__name__ in verdict.detail


def test_messages_that_are_no_line_are_findings(tmp_path: Path) -> None:
    for message in ("two\nlines of it", "\x1b[2J clears the screen", "x" * 5000, "", "bad"):
        assert judge(fail(PresetError(message)), b"", tmp_path).kind == "message"
    assert judge(fail(PresetError("the preset is none")), b"", tmp_path).kind == "refusal"


def test_time_and_memory_are_measured(tmp_path: Path) -> None:
    def spin(data: bytes, scratch: Path) -> None:
        end = time.process_time() + 0.6
        while time.process_time() < end:
            pass

    assert judge(replace(reading(spin), seconds=0.5), b"", tmp_path).kind == "time"

    def fill(data: bytes, scratch: Path) -> None:
        with mmap.mmap(-1, 150 << 20) as fresh:  # an allocator may have kept as much of what others gave back
            for start in range(0, len(fresh), 1 << 20):
                fresh[start : start + (1 << 20)] = b"x" * (1 << 20)

    assert judge(reading(fill), b"", tmp_path).kind == "memory"


ESCAPES: dict[str, Callable[[Path], object]] = {
    "a file beside": lambda folder: (folder / "owned").write_text("x"),
    "a file taken away": lambda folder: (folder / "precious").unlink(),
    "a name changed": lambda folder: (folder / "precious").rename(folder / "gone"),
    "a program": lambda folder: subprocess.run(["true"], check=True),
    "a shell": lambda folder: subprocess.run("true", shell=True, check=True),
    "another process": lambda folder: os.kill(os.getppid(), 0),
    "code": lambda folder: eval("1 + 1"),
}


@pytest.mark.parametrize("name", ESCAPES)
def test_what_is_touched_is_seen(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    scratch = tmp_path / "scratch"
    scratch.mkdir()
    (tmp_path / "precious").write_text("x")

    def read(data: bytes, inner: Path) -> None:
        (inner / "mine").write_bytes(data)
        with contextlib.suppress(Exception):
            ESCAPES[name](tmp_path)

    verdict = judge(reading(read), b"", scratch)
    assert verdict.kind in ("error", "escape") and "scape" in f"{verdict.kind} {verdict.detail}"
    assert {path.name for path in tmp_path.iterdir()} == {"scratch", "precious"}
