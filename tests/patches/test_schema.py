"""What a patch may hold."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from audioreactive.patches.fields import Envelope, depth_slices
from audioreactive.patches.schema import Amplitude, LatentLoop, LatentSegmentation, NoiseLoop, Palette, Patch

MINIMAL = {"palette": {"seeds": [1]}, "latents": {"base": [0]}, "noise": {"seeds": [1], "base": [0]}}


@pytest.mark.parametrize(
    ("layers", "expected"),
    [(18, (6, 6, 6)), (17, (6, 5, 6)), (14, (5, 4, 5)), (8, (3, 2, 3)), (7, (2, 3, 2)), (2, (1, 0, 1)), (1, (0, 1, 0))],
)
def test_depth_is_thirds_of_the_layers(layers: int, expected: tuple[int, ...]) -> None:
    slices = depth_slices(layers)
    assert tuple(s.stop - s.start for s in slices) == expected
    assert [i for s in slices for i in range(s.start, s.stop)] == list(range(layers))


def test_a_patch_is_immutable_and_compares_by_value() -> None:
    patch = Patch.model_validate(MINIMAL)
    assert patch == Patch.model_validate(MINIMAL)
    with pytest.raises(ValidationError, match="frozen"):
        patch.palette.truncation = 0.5


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Palette(seeds=[]), "at least 1"),
        (lambda: Palette(seeds=[-1]), "greater than or equal to 0"),
        (lambda: Palette(seeds=[2**32]), "less than or equal to 4294967295"),
        (lambda: Palette(seeds=[1], truncation=float("nan")), "finite"),
        (lambda: Palette.model_validate({"seeds": [1], "truncaton": 1}), "did you mean 'truncation'"),
        (lambda: Envelope(feature="loudness"), "there is no feature 'loudness'"),
        (lambda: Envelope(feature="a.b.rms"), "there is no feature"),
        (lambda: Envelope(feature="rms", smooth=-1), "greater than or equal to 0"),
        (lambda: LatentLoop(strategy="loop", vectors=(0,)), "either bars or seconds"),
        (lambda: LatentLoop(strategy="loop", bars=1, seconds=1, vectors=(0,)), "either bars or seconds"),
        (lambda: LatentLoop(strategy="loop", bars=1, vectors=(0,), merge="modulate"), "needs a modulator"),
        (
            lambda: LatentLoop(strategy="loop", bars=1, vectors=(0,), modulator=Envelope(feature="rms")),
            'needs merge = "modulate"',
        ),
        (
            lambda: LatentLoop(
                strategy="loop", bars=1, vectors=(0,), merge="modulate", modulator=Envelope(feature="chroma")
            ),
            "has several channels",
        ),
        (lambda: LatentLoop(strategy="loop", bars=1, vectors=(0,), depth=("coarse", "coarse")), "twice"),
        (
            lambda: LatentSegmentation(strategy="segmentation", feature="rms", k=3, vectors=(0,)),
            "a segmentation needs one of",
        ),
        (lambda: LatentSegmentation(strategy="segmentation", feature="chroma", k=17, vectors=(0,)), "equal to 16"),
        (lambda: NoiseLoop(strategy="loop", bars=1, fields=(0, 1)), "at least 3"),
        (lambda: NoiseLoop(strategy="loop", bars=1, fields=(0, 1, 2), sigma=0), "greater than or equal to 0.001"),
        (lambda: Amplitude(envelope=Envelope(feature="chroma")), "several channels"),
    ],
)
def test_mistakes_are_refused_with_what_is_allowed(build, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        build()


def test_features_of_a_patch_are_all_its_envelopes() -> None:
    patch = Patch.model_validate(
        {
            **MINIMAL,
            "latents": {
                "base": [0],
                "sequences": [
                    {"strategy": "feature", "envelope": {"feature": "chroma"}, "vectors": [0, 1]},
                    {"strategy": "segmentation", "feature": "mfcc", "k": 4, "vectors": [0]},
                    {
                        "strategy": "loop",
                        "bars": 4,
                        "vectors": [0],
                        "merge": "modulate",
                        "modulator": {"feature": "bass.rms"},
                    },
                ],
            },
            "noise": {
                "seeds": [1],
                "base": [0],
                "amplitude": {"envelope": {"feature": "onsets"}},
                "sequences": [{"strategy": "blend", "envelope": {"feature": "drums.rms"}, "fields": [0]}],
            },
        }
    )
    assert patch.feature_names() == ("bass.rms", "chroma", "drums.rms", "onsets")
    assert patch.segmentation_names() == ("mfcc",)


def test_depths_have_the_names_of_the_papers_and_older_ones_are_read() -> None:
    loop = {"strategy": "loop", "bars": 4, "vectors": (0, 1)}
    assert LatentLoop(**loop, depth=("shallow", "deep")) == LatentLoop(**loop, depth=("coarse", "fine"))
    assert LatentLoop(**loop).model_dump()["depth"] == ("coarse", "middle", "fine")
