"""Planning pictures of any size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audioreactive.errors import RenderError
from audioreactive.sizes import draft_canvas, parse_size, plan_canvas

SQUARE = {"const_size": (4, 4), "img_size": (256, 256)}


def test_without_a_wish_the_model_decides() -> None:
    canvas = plan_canvas(**SQUARE)
    assert (canvas.size, canvas.frame_size, canvas.filters) == ((256, 256), (256, 256), "")


def test_widen_paints_the_aspect_ratio_and_cuts_little() -> None:
    canvas = plan_canvas(const_size=(4, 4), img_size=(1024, 1024), size=(1920, 1080))
    assert canvas.const_size == (4, 7)
    assert canvas.frame_size == (1792, 1024)
    assert canvas.filters.startswith("scale=1920:1097")
    assert canvas.filters.endswith(",crop=1920:1080")
    tall = plan_canvas(const_size=(4, 4), img_size=(1024, 1024), size=(1080, 1920))
    assert tall.const_size == (7, 4)


def test_widen_without_scaling_only_crops() -> None:
    assert plan_canvas(**SQUARE, size=(512, 256)).filters == ""
    assert plan_canvas(**SQUARE, size=(500, 256)).filters == "crop=500:256"


def test_a_non_square_model_is_widened_from_its_own_shape() -> None:
    body = {"const_size": (4, 2), "img_size": (256, 128)}
    assert plan_canvas(**body, size=(128, 256)).const_size == (4, 2)
    assert plan_canvas(**body, size=(256, 256)).const_size == (4, 4)
    assert plan_canvas(**body, size=(64, 256)).const_size == (8, 2)


def test_the_other_fits_keep_the_constant() -> None:
    for fit in ("crop", "pad", "stretch"):
        canvas = plan_canvas(**SQUARE, size=(640, 360), fit=fit)
        assert canvas.const_size == (4, 4)
        assert canvas.size == (640, 360)
    pad = plan_canvas(**SQUARE, size=(640, 360), fit="pad").filters
    assert pad.startswith("scale=360:360:") and ",pad=640:360:" in pad
    crop = plan_canvas(**SQUARE, size=(640, 360), fit="crop").filters
    assert crop.startswith("scale=640:640:") and crop.endswith(",crop=640:360")
    assert plan_canvas(**SQUARE, size=(640, 360), fit="stretch").filters.startswith("scale=640:360:")


def test_odd_sides_are_rounded_up_where_colour_needs_it() -> None:
    assert plan_canvas(**SQUARE, size=(641, 359)).size == (642, 360)
    assert plan_canvas(**SQUARE, size=(641, 359), even=(True, False)).size == (642, 359)
    assert plan_canvas(**SQUARE, size=(641, 359), even=(False, False)).size == (641, 359)


@given(width=st.integers(2, 4000), height=st.integers(2, 4000))
def test_widen_never_shrinks_the_constant_and_loses_at_most_an_eighth(width: int, height: int) -> None:
    if max(width, height) > 7 * min(width, height):
        return  # too far from the model's own shape
    canvas = plan_canvas(**SQUARE, size=(width, height))
    assert min(canvas.const_size) == 4
    across, down = canvas.frame_size
    size = canvas.size
    scale = max(size[0] / across, size[1] / down)
    assert size[0] * size[1] / (across * down * scale * scale) > 7 / 8


@pytest.mark.parametrize("text", ["1920", "1920x", "x1080", "0x10", "-4x4", "1920*1080", "axb", "99999x2", ""])
def test_sizes_that_are_none(text: str) -> None:
    with pytest.raises(RenderError, match="size"):
        parse_size(text)


@pytest.mark.parametrize("size", [(16384, 2), (2, 4000), (2400, 256)])
def test_a_model_is_not_widened_beyond_memory(size: tuple[int, int]) -> None:
    """256 high and 8192 times as wide: two million pixels of width for a ribbon that nobody sees."""
    with pytest.raises(RenderError, match=r"the model would paint \d+x\d+: choose --fit crop"):
        plan_canvas(**SQUARE, size=size)
    assert plan_canvas(**SQUARE, size=size, fit="crop").const_size == (4, 4)


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
    if fit == "widen" and size == (1000, 10):
        return
    whole = plan_canvas(const_size=(4, 4), img_size=(1024, 1024), size=size, fit=fit)
    draft = draft_canvas(whole, fit)
    assert (draft.const_size, draft.frame_size) == (whole.const_size, whole.frame_size)
    assert max(draft.size) <= 480 and all(side % 2 == 0 for side in draft.size)
    if max(size) <= 480:
        assert draft.size == whole.size
    elif min(size) > 100:
        assert draft.size[0] / draft.size[1] == pytest.approx(size[0] / size[1], rel=0.01)
