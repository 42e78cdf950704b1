"""The loop under the simulated clock: counts, delays, faults, and the same pictures each time."""

from __future__ import annotations

import json
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from sounds import music, silence

from audioreactive.errors import LiveError
from audioreactive.flashes.definition import TRANSITIONS, Geometry, to_light
from audioreactive.flashes.detect import FlashMeter
from audioreactive.flashes.measure import measure
from audioreactive.generators import open_generator
from audioreactive.live.clock import SimulatedClock
from audioreactive.live.deck import Deck
from audioreactive.live.inputs import BLOCK, Ring, until_block
from audioreactive.live.loop import SMALLER, WHOLE, Loop, NoScreen
from audioreactive.live.perform import Performance, prepare
from audioreactive.live.presets import opening_presets
from audioreactive.live.safety import FlashLimiter
from audioreactive.live.sizing import BUDGET, FAST_ENOUGH, TOO_SLOW, Sizing
from audioreactive.media.audio import ANALYSIS_RATE


class Samples:
    """An input with known samples."""

    name, delay, trouble, lost = "samples", BLOCK / ANALYSIS_RATE, "", 0

    def __init__(self, sound: np.ndarray) -> None:
        self.sound, self.place = sound, 0

    @property
    def position(self) -> float:
        return self.place / ANALYSIS_RATE

    @property
    def ended(self) -> bool:
        return self.place + BLOCK > len(self.sound)

    def next_block(self, now: float) -> float:
        return now + until_block(now, self.position)

    def begin(self) -> None: ...

    def close(self) -> None: ...

    def read(self, now: float) -> np.ndarray:
        stop = min(int(now * ANALYSIS_RATE + 1e-6) // BLOCK * BLOCK, len(self.sound))
        heard, self.place = self.sound[self.place : stop], max(stop, self.place)
        return heard


class Kept(NoScreen):
    """A screen that keeps what it showed."""

    def __init__(self) -> None:
        super().__init__()
        self.pictures: list[np.ndarray] = []

    def show(self, pixels: np.ndarray, word: str) -> None:
        super().show(pixels, word)
        self.pictures.append(pixels)


def loop_of(sound: np.ndarray, cost: float, fps: int = 30) -> tuple[Loop, Kept]:
    presets = opening_presets(["pulse", "ember"])
    show, _ = prepare(Performance(presets[0], presets, size=(64, 36)), open_generator("painter", device="cpu"))
    screen = Kept()
    loop = Loop(show, Samples(sound), [screen], SimulatedClock(cost), fps=Fraction(fps))
    return loop, screen


def test_a_fast_machine_shows_every_picture_and_the_delay_is_block_and_work() -> None:
    loop, screen = loop_of(music(2), cost=0.02)
    report = loop.run(2).report()
    assert (report["frames"], report["dropped"]) == (60, 0)
    assert 20 + 10.4 <= report["latency_ms_median"] <= 20 + 2 * 10.5
    assert set(report["parts_ms"]) == {
        "capture block", "features", "motion", "generator", "flash limiter", "upload",
    }  # fmt: skip
    assert len({picture.tobytes() for picture in screen.pictures}) > 50


def test_a_slow_generator_leaves_pictures_out_and_its_delay_does_not_grow() -> None:
    loop, _ = loop_of(music(4), cost=0.2)
    measured = loop.run(4)
    assert measured.frames == pytest.approx(20, abs=1)
    assert measured.dropped == pytest.approx(100, abs=2)
    delays = list(measured.latencies)
    assert max(delays[-5:]) <= max(delays[:5]) + 0.011
    assert max(delays) < 0.2 + 2.1 * BLOCK / ANALYSIS_RATE


def test_on_a_slow_machine_a_picture_begins_with_the_block_that_has_just_come_in() -> None:
    loop, _ = loop_of(music(3), cost=0.0275, fps=60)
    report = loop.run(3).report()
    assert report["latency_ms_p95"] == pytest.approx(27.5 + 10.4, abs=2.1)
    assert loop.measured.frames == pytest.approx(3 * 96 / 3, abs=2)
    assert report["oldest_sound_ms_p95"] == pytest.approx(27.5 + 3 * 10.4, abs=2.5)


def test_all_sound_is_heard_once_where_some_of_it_is_heard_while_waiting() -> None:
    loop, _ = loop_of(music(2), cost=0.0275, fps=60)
    taken: list[np.ndarray] = []
    loop.heard.append(taken.append)
    loop.run(2)
    sound = np.concatenate(taken)
    np.testing.assert_array_equal(sound, music(2)[: len(sound)])
    assert len(sound) > 1.9 * ANALYSIS_RATE


def test_where_fewer_pixels_are_painted_a_word_says_so_once() -> None:
    loop, _ = loop_of(music(1), cost=0.02)
    said: list[str] = []
    loop.log = said.append
    loop.show.sizing = Sizing(open_generator("painter", device="cpu").generator.resized((36, 64)), adapts=True)
    for _ in range(2):
        for _ in range(2 * TOO_SLOW):
            loop._note_work(2 * BUDGET)
        assert not loop.show.sizing.is_whole
        for _ in range(2 * FAST_ENOUGH):
            loop._note_work(0.05 * BUDGET)
        assert loop.show.sizing.is_whole
    assert said == [SMALLER, WHOLE]


def test_with_the_same_cost_the_same_pictures_are_shown() -> None:
    first, second = (loop_of(music(1), cost=0.05) for _ in range(2))
    for loop, _ in (first, second):
        loop.run(1)
    assert [p.tobytes() for p in first[1].pictures] == [p.tobytes() for p in second[1].pictures]


@pytest.mark.parametrize(
    ("sound", "word"),
    [
        (silence(7), "silence"),
        (np.clip(9 * music(2), -1, 1), "clipped"),
        (np.full(ANALYSIS_RATE, np.nan, np.float32), ""),
    ],
)
def test_faults_of_the_sound_are_told_and_survived(sound: np.ndarray, word: str) -> None:
    loop, screen = loop_of(sound, cost=0.1)
    loop.run()
    assert screen.pictures
    assert any(word in said for said in screen.words) or not word


def test_an_input_without_sound_is_an_error() -> None:
    loop, _ = loop_of(silence(0), cost=0.1)
    with pytest.raises(LiveError, match="no sound came from samples"):
        loop.run(1)


def test_commands_take_effect_before_the_next_picture() -> None:
    loop, screen = loop_of(music(2), cost=0.05)
    presets = opening_presets(["pulse", "ember"])
    deck = Deck(loop, presets)
    loop.screens.append(deck)
    told: list[Any] = []
    deck.changed.append(lambda *change: told.append(change))
    deck.ask("latents.sequences.1.intensity", 0.9)
    loop.run(0.2)
    assert loop.show.preset.patch.latents.sequences[1].intensity == 0.9
    assert told == [("latents.sequences.1.intensity", 0.9)]
    deck.ask("next")
    deck.ask("black", 1)
    loop.run(0.4)
    assert loop.show.preset.name == "ember"
    assert not screen.pictures[-1].any()
    deck.ask("black", 0)
    deck.ask("reroll")
    deck.ask("latents.sequences.1.intensty", 3)
    loop.run(0.6)
    assert loop.show.preset.patch.palette != presets[1].patch.palette
    assert screen.pictures[-1].any()
    assert any("there is no number 'latents.sequences.1.intensty'" in word for word in screen.words)
    deck.ask("preset", 9)
    deck.ask("stop")
    frames = loop.measured.frames
    loop.run(2)
    assert loop.measured.frames == frames + 1


def test_a_ring_drops_the_oldest() -> None:
    ring = Ring(ANALYSIS_RATE)
    for k in range(30):
        ring.put(np.full(ANALYSIS_RATE // 8, k, np.float32))
    kept = ring.take()
    assert len(kept) == 2 * ANALYSIS_RATE
    assert (kept[0], kept[-1], ring.lost) == (14, 29, 14 * ANALYSIS_RATE // 8)
    assert not len(ring.take())


def test_strobes_are_held_back_and_slow_changes_are_not() -> None:
    frames = np.zeros((90, 36, 64, 3), np.uint8)
    frames[::2] = 255
    limiter, meter = FlashLimiter((64, 36)), FlashMeter(Geometry.of(64, 36))
    shown = [limiter.limited(frame, k / 30) for k, frame in enumerate(frames)]
    moments = meter.push(to_light(measure(np.stack(shown))), [k / 30 for k in range(90)])
    assert max(moment.general.transitions for moment in moments) <= TRANSITIONS
    assert limiter.held_back > 25
    ramp = np.repeat(np.arange(90, dtype=np.uint8)[:, None, None, None], 36, 1) * np.ones((1, 1, 64, 3), np.uint8)
    limiter = FlashLimiter((64, 36))
    assert all(limiter.limited(frame, k / 30) is frame for k, frame in enumerate(ramp))


def test_the_report_can_be_read_by_programs() -> None:
    loop, _ = loop_of(music(1), cost=0.05)
    assert json.loads(json.dumps(loop.run(1).report(more=1)))["more"] == 1
