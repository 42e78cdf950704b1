"""What a deadline changes, with a clock that moves only when frames are made."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from crews import Ears

from audioreactive.chunks.deadline import Punctual
from audioreactive.chunks.plan import MadeChunk, plan_chunks

CHUNKS = plan_chunks(0, 100, 10)


@dataclass
class Clock:
    now: float = 1000.0

    def __call__(self) -> float:
        return self.now


@dataclass
class Crew:
    """Makes frames at a pace, after a while of preparation."""

    clock: Clock
    pace: float
    made: list[int] = field(default_factory=list)

    def make(self, chunks, folder, advance):
        self.clock.now += 5.0 if chunks else 0.0
        for chunk in chunks:
            for _ in range(0, len(chunk), 2):
                self.clock.now += 2 * self.pace
                advance(2)
            self.made.append(chunk.index)
            yield MadeChunk(chunk.index, len(chunk), "", 1, "")


@pytest.mark.parametrize(
    ("seconds", "usual", "hurried", "told"),
    [
        (130.0, 1.0, 0.5, []),
        (100.0, 1.0, 0.5, ["at this pace the video is finished about 9 s after the deadline: from its second piece"]),
        (50.0, 1.0, 0.5, ["at this pace", "the video will be finished about 16 s after the deadline"]),
        (4.0, 1.0, 1.0, ["at this pace", "the video will be finished about 2 min after the deadline"]),
    ],
)
def test_chunks_are_hurried_only_if_they_would_be_late(seconds, usual, hurried, told) -> None:
    clock, ears, counted = Clock(), Ears(), []
    crews = Crew(clock, usual), Crew(clock, hurried)
    punctual = Punctual(*crews, 1000.0 + seconds, ears, clock)
    made = list(punctual.make(CHUNKS, Path(), counted.append))
    assert [one.index for one in made] == list(range(10)) and sum(counted) == 100
    assert crews[0].made == ([0] if told else list(range(10)))
    assert len(ears.said) == len(told) and all(map(str.startswith, ears.said, told)), ears.said


@pytest.mark.parametrize(("seconds", "late"), [(130.0, False), (60.0, True)])
def test_without_a_faster_encoder_it_is_only_told(seconds: float, late: bool) -> None:
    clock, ears = Clock(), Ears()
    crew = Crew(clock, 1.0)
    made = list(Punctual(crew, None, 1000.0 + seconds, ears, clock).make(CHUNKS, Path(), lambda count: None))
    assert len(made) == 10 == len(crew.made)
    assert bool(ears.said) == late and all("--draft" in said for said in ears.said)


def test_nothing_left_to_make_is_not_late() -> None:
    clock, ears = Clock(), Ears()
    assert not list(Punctual(Crew(clock, 1), Crew(clock, 1), 0.0, ears, clock).make([], Path(), lambda count: None))
    assert not ears.said
