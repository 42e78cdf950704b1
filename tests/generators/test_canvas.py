"""Planning pictures of any size."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from audioreactive.errors import RenderError
from audioreactive.generators import draft_canvas, parse_size, plan_canvas


@dataclass(frozen=True)
class Stand:
    """A generator that has pictures of 256 × 256, and widens them by whole steps of 64 pixels."""

    img_size: tuple[int, int] = (256, 256)

    def widened(self, size: tuple[int, int]) -> tuple[int, int]:
        height, width = self.img_size
        if size[1] * height >= size[0] * width:
            return height, -(-size[1] * height // size[0] // 64) * 64
        return -(-size[0] * width // size[1] // 64) * 64, width


SQUARE = Stand()


def test_without_a_wish_the_generator_decides() -> None:
    canvas = plan_canvas(SQUARE)
    assert (canvas.size, canvas.frame_size, canvas.filters) == ((256, 256), (256, 256), "")
    canvas = plan_canvas(Stand((128, 256)))
    assert (canvas.size, canvas.frame_size, canvas.filters) == ((256, 128), (256, 128), "")


def test_sizes_of_pictures_and_of_videos_go_the_other_way_round() -> None:
    canvas = plan_canvas(SQUARE, size=(640, 320))
    assert canvas.frame_size == (512, 256) and canvas.size == (640, 320)
    assert canvas.filters.startswith("scale=640:320:")
    assert plan_canvas(SQUARE, size=(320, 640)).frame_size == (256, 512)


def test_widen_without_scaling_only_crops() -> None:
    assert plan_canvas(SQUARE, size=(512, 256)).filters == ""
    assert plan_canvas(SQUARE, size=(500, 256)).filters == "crop=500:256"


def test_the_other_fits_keep_the_picture() -> None:
    for fit in ("crop", "pad", "stretch"):
        canvas = plan_canvas(SQUARE, size=(640, 360), fit=fit)
        assert canvas.frame_size == (256, 256)
        assert canvas.size == (640, 360)
    pad = plan_canvas(SQUARE, size=(640, 360), fit="pad").filters
    assert pad.startswith("scale=360:360:") and ",pad=640:360:" in pad
    crop = plan_canvas(SQUARE, size=(640, 360), fit="crop").filters
    assert crop.startswith("scale=640:640:") and crop.endswith(",crop=640:360")
    assert plan_canvas(SQUARE, size=(640, 360), fit="stretch").filters.startswith("scale=640:360:")


def test_odd_sides_are_rounded_up_where_colour_needs_it() -> None:
    assert plan_canvas(SQUARE, size=(641, 359)).size == (642, 360)
    assert plan_canvas(SQUARE, size=(641, 359), even=(True, False)).size == (642, 359)
    assert plan_canvas(SQUARE, size=(641, 359), even=(False, False)).size == (641, 359)


@pytest.mark.parametrize("text", ["1920", "1920x", "x1080", "0x10", "-4x4", "1920*1080", "axb", "99999x2", ""])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(RenderError, match="size"):
        parse_size(text)


def test_pictures_beyond_an_encoders_memory_are_refused() -> None:
    assert parse_size("7680x4320") == (7680, 4320)
    with pytest.raises(RenderError, match="16384x16384 is beyond 33554432 pixels"):
        parse_size("16384x16384")


def test_a_size_is_read() -> None:
    assert parse_size("1920x1080") == parse_size("1920X1080") == (1920, 1080)


@pytest.mark.parametrize(
    ("text", "size"),
    [("1080p", (1920, 1080)), ("720P", (1280, 720)), ("4k", (3840, 2160)), ("square", (1080, 1080)),
     ("vertical", (1080, 1920)), ("1920x1080", (1920, 1080)), ("1920 × 1080", (1920, 1080))],
)  # fmt: skip
def test_sizes_have_names(text: str, size: tuple[int, int]) -> None:
    assert parse_size(text) == size


def test_a_name_that_is_none_is_answered_with_what_there_is() -> None:
    with pytest.raises(RenderError, match=r"480p, 720p, 1080p.*did you mean '1080p'"):
        parse_size("1080i")


@pytest.mark.parametrize("size", [(1920, 1080), (1080, 1920), (640, 640), (64, 36), (1000, 10)])
@pytest.mark.parametrize("fit", ["widen", "crop", "pad", "stretch"])
def test_a_draft_is_small_and_the_same_picture(size: tuple[int, int], fit) -> None:
    whole = plan_canvas(Stand((1024, 1024)), size=size, fit=fit)
    draft = draft_canvas(whole, fit)
    assert draft.frame_size == whole.frame_size
    assert max(draft.size) <= 480 and all(side % 2 == 0 for side in draft.size)
    if max(size) <= 480:
        assert draft.size == whole.size
    elif min(size) > 100:
        assert draft.size[0] / draft.size[1] == pytest.approx(size[0] / size[1], rel=0.01)
