"""Chunks cover the song, in whole batches, wherever a render starts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from audioreactive.chunks.plan import chunk_length, plan_chunks

if TYPE_CHECKING:
    from fractions import Fraction


@given(
    seconds=st.fractions(0, 100),
    fps=st.fractions(1, 240, max_denominator=1001),
    batch=st.integers(1, 64),
    start=st.integers(0, 5000),
    count=st.integers(1, 5000),
)
def test_every_frame_is_in_one_chunk_of_whole_batches(
    seconds: Fraction, fps: Fraction, batch: int, start: int, count: int
) -> None:
    length = chunk_length(seconds, fps, batch)
    assert length % batch == 0 and length >= batch
    assert seconds * fps <= length < seconds * fps + batch + (seconds == 0) * batch
    chunks = plan_chunks(start, start + count, length)
    assert [frame for chunk in chunks for frame in range(chunk.start, chunk.stop)] == list(range(start, start + count))
    whole = plan_chunks(0, start + count, length)
    for chunk in chunks:
        assert 0 < len(chunk) <= length
        assert whole[chunk.index].stop == chunk.stop, "a chunk is a function of its index"
    assert all(chunk.start % length == 0 for chunk in chunks[1:])
