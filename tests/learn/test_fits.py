"""Fits are kept: what was fitted before is not fitted again, and what decides about a fit makes another."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from support import smooth_features

from audioreactive.generators.painter import Painter
from audioreactive.learn import fits
from audioreactive.learn.fits import default_fits_dir, kept_or_made
from audioreactive.patches.overrides import with_value
from audioreactive.patches.randomizer import draw_around
from audioreactive.patches.schema import Hippo

if TYPE_CHECKING:
    from pathlib import Path

HIPPO = Hippo(kind="hippo", name="hippo", aim="seen", coefficients=64, steps=10)
PATCH = draw_around(HIPPO, 3)
FEATURES = smooth_features(seconds=8)
PAINTER = Painter(("silk",))


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return default_fits_dir()


class Fits:
    """Fits that count."""

    count = 0

    def __call__(self) -> np.ndarray:
        self.count += 1
        return np.full((5, 17), self.count, np.float32)


def test_what_was_fitted_is_kept_for_what_it_was_fitted_to() -> None:
    fit = Fits()
    first = kept_or_made(PATCH, HIPPO, FEATURES, PAINTER, fit)
    np.testing.assert_array_equal(kept_or_made(PATCH, HIPPO, FEATURES, PAINTER, fit), first)
    wide = PAINTER.resized((720, 1280))
    np.testing.assert_array_equal(kept_or_made(PATCH, HIPPO, FEATURES, wide, fit), first, "any size of one shape")
    assert fit.count == 1
    louder = replace(FEATURES, envelopes={**FEATURES.envelopes, "rms": FEATURES["rms"] * np.float32(0.5)})
    for number, others in enumerate(
        (
            (with_value(PATCH, "noise.strength", 1.9), HIPPO, FEATURES, PAINTER),
            (PATCH, HIPPO, louder, PAINTER),
            (PATCH, HIPPO, FEATURES, Painter(("ink",))),
            (PATCH, HIPPO, FEATURES, PAINTER.resized((720, 720))),
        ),
        start=2,
    ):
        kept_or_made(*others, fit)
        assert fit.count == number


def test_a_damaged_entry_is_made_again(folder: Path) -> None:
    fit = Fits()
    kept_or_made(PATCH, HIPPO, FEATURES, PAINTER, fit)
    (entry,) = folder.iterdir()
    whole = entry.read_bytes()
    for bad in (whole[:-1], whole[:-3] + b"xyz", b"", b"other text"):
        entry.write_bytes(bad)
        before = fit.count
        kept_or_made(PATCH, HIPPO, FEATURES, PAINTER, fit)
        assert fit.count == before + 1


def test_the_oldest_fits_go(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits, "MOST_KEPT", 2)
    for strength in (1.1, 1.2, 1.3, 1.4):
        kept_or_made(with_value(PATCH, "noise.strength", strength), HIPPO, FEATURES, PAINTER, Fits())
    assert len(list(folder.iterdir())) == 2


def test_a_fit_that_cannot_be_kept_is_made_once_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fits, "write_entry", lambda *_: None)
    fit = Fits()
    made = [kept_or_made(PATCH, HIPPO, FEATURES, PAINTER, fit) for _ in range(2)]
    assert fit.count == 1
    np.testing.assert_array_equal(*made)
    monkeypatch.setattr(fits, "_unwritten", [])
    kept_or_made(PATCH, HIPPO, FEATURES, PAINTER, fit)
    assert fit.count == 2
