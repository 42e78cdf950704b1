"""The response of a generator: how its picture changes with its inputs, learnt from small rendered samples.

The audio-visual correlation of Table 3.2's features depends on what is seen, and a picture is a complicated function of
latents and noise. A small network is fitted to a few hundred or thousand rendered pairs of neighbouring frames. It
predicts the features of the picture for any motion, without rendering, and can be differentiated.

Conventions: T frames, C state variables: numbers that say what the generator is fed, in groups that act on the picture
in different ways (coarse, middle and fine latents, noise). Features are those of `correlation.video_features`. What a
picture looks like (histograms, variance, spectrum, a thumbnail) is predicted by the network. How much it changes from
one frame to the next follows from the change of its thumbnail and of its state. Histograms are predicted in their
principal directions, which hold nearly all of their variance: a rotation does not change a correlation.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from audioreactive._support.streams import named_stream
from audioreactive.correlation import watch
from audioreactive.correlation.video_features import SPECTRUM_BANDS, VARYING_BANDS
from audioreactive.flashes.definition import LUMINANCE
from audioreactive.learn.descent import Descent

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

COMPONENTS = 8
"""Principal directions in which a histogram and the spectrum are predicted."""
LOOKS = 24
"""Principal directions in which a thumbnail is predicted."""
THUMBNAIL = 144
"""Number of pixels of a thumbnail, about."""
HIDDEN = 96
"""Width of the network's two hidden layers."""
STEPS, STEPS_MORE = 1500, 600
"""Steps of the first training, and of one that goes on after further samples."""
BATCH = 256
RATES = (4e-3, 2e-3)
"""First learning rates of these trainings; they fall along a cosine."""
DECAY = 0.5
"""Weight decay of AdamW (Loshchilov and Hutter, 2019), relative to the learning rate."""
QUIET = 1e-4
"""Value that is added to amplitudes of the spectrum before their logarithm is taken."""
FAINT = 0.1
"""Changes below this share of the root mean square count less in the fit of the model of change."""

DECODED = (0.305306011, 0.682171111, 0.012522878)
"""Coefficients of the cubic that is within 0.002 of sRGB's decoding, and takes a tenth of the time."""

STATIC = ("rgb_histogram", "hsv_histogram", "deviation", "spectrum", "look")
"""What the network predicts: histograms, standard deviation of pixel values, logarithm of the spectrum, thumbnail."""
CHANGING = ("absolute_difference", "directogram")
"""Features of change; of the directogram the sum over all directions."""


@dataclass(frozen=True)
class Sample:
    """Neighbouring frames and what was seen in them."""

    states: FloatArray
    """States (2n, C) of n pairs of frames."""
    static: dict[str, FloatArray]
    """Name in `STATIC` -> (2n, columns)."""
    spectrum: FloatArray
    """Spectra (2n, 32)."""
    changes: dict[str, NDArray[np.float64]]
    """Name in `CHANGING` -> (n,) change from the first frame of a pair to the second."""

    @classmethod
    def measured(cls, states: FloatArray, pictures: NDArray[np.uint8]) -> Sample:
        """Measure pictures (2n, h, w, 3): pairs of neighbouring frames, one after the other."""
        seen = watch(iter(pictures), expected=len(pictures))
        looks = np.stack([_thumbnail(picture) for picture in pictures])
        return cls(
            states=states,
            static={
                "rgb_histogram": seen["rgb_histogram"],
                "hsv_histogram": seen["hsv_histogram"],
                "deviation": np.sqrt(seen["visual_variance"]),
                "spectrum": np.log(seen["spectrogram"] + np.float32(QUIET)),
                "look": looks,
            },
            spectrum=seen["spectrogram"],
            changes={name: seen[name].sum(1, dtype=np.float64)[1::2] for name in CHANGING},
        )

    @classmethod
    def joined(cls, samples: Sequence[Sample]) -> Sample:
        """Join samples into one."""
        return cls(
            states=np.concatenate([sample.states for sample in samples]),
            static={name: np.concatenate([sample.static[name] for sample in samples]) for name in STATIC},
            spectrum=np.concatenate([sample.spectrum for sample in samples]),
            changes={name: np.concatenate([sample.changes[name] for sample in samples]) for name in CHANGING},
        )


def _thumbnail(picture: NDArray[np.uint8]) -> FloatArray:
    """Shrink a picture (h, w, 3) to about THUMBNAIL pixels with values in [0, 1], as one row."""
    import cv2

    height, width, _ = picture.shape
    rows = max(round(math.sqrt(THUMBNAIL * height / width)), 1)
    size = max(round(THUMBNAIL / rows), 1), rows
    small = np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.float32)
    return small.ravel() / np.float32(255)


@dataclass(frozen=True)
class Directions:
    """Principal directions of one of the predicted features."""

    mean: Tensor
    """(columns,)"""
    rows: Tensor
    """(k, columns), orthonormal."""
    size: float
    """Root mean square length of a deviation from the mean, along these directions."""

    @classmethod
    def of(cls, table: FloatArray, count: int) -> Directions:
        """Find at most `count` principal directions of a table (n, columns)."""
        mean = table.mean(0, dtype=np.float64)
        _, values, rows = np.linalg.svd(table - mean, full_matrices=False)
        kept = max(min(count, int((values > 1e-6 * max(values[0], 1e-12)).sum())), 1)
        size = math.sqrt(float(np.square(values[:kept]).sum()) / len(table))
        return cls(torch.from_numpy(mean).float(), torch.from_numpy(rows[:kept].copy()).float(), max(size, 1e-6))

    def along(self, table: FloatArray) -> Tensor:
        """Coordinates (n, k) of a table (n, columns), in units of their size."""
        return (torch.from_numpy(table) - self.mean) @ self.rows.T / self.size


class Response:
    """A generator's response, fitted to samples. More samples can be added; then it is trained further."""

    def __init__(self, sample: Sample, groups: Sequence[slice], seed: str) -> None:
        """Fit a response.

        Args:
            sample: rendered pairs of frames.
            groups: columns of the state that act on the picture alike; their changes are measured together.
            seed: name of the random draws.
        """
        self._groups, self._seed = tuple(groups), seed
        self._directions = {
            name: Directions.of(sample.static[name], LOOKS if name == "look" else COMPONENTS) for name in STATIC
        }
        states = torch.from_numpy(sample.states)
        self._middle, self._spread = states.mean(0), states.std(0) + 1e-6
        widths = [states.shape[1], HIDDEN, HIDDEN, sum(len(found.rows) for found in self._directions.values())]
        stream = named_stream(f"response {seed} weights")
        self._layers = [
            (torch.from_numpy(stream.randn(fed, made) / math.sqrt(fed)).float(), torch.zeros(made))
            for fed, made in pairwise(widths)
        ]
        self._samples = [sample]
        self._train(STEPS, RATES[0])

    def add(self, sample: Sample) -> None:
        """Train further with more samples, those before included. The mean change of pictures becomes theirs."""
        self._samples = [Sample.joined([*self._samples, sample])]
        self._train(STEPS_MORE, RATES[1])
        squares = self._pair_squares(sample)
        for name, change in sample.changes.items():
            foretold = float(_root(squares @ self._shares[name]).mean())
            self._shares[name] = self._shares[name] * (float(change.mean()) / max(foretold, 1e-9)) ** 2

    def _train(self, steps: int, rate: float) -> None:
        (sample,) = self._samples
        states = torch.from_numpy(sample.states)
        wanted = torch.cat([self._directions[name].along(sample.static[name]) for name in STATIC], 1)
        descent = Descent([part for layer in self._layers for part in layer], rate=rate, steps=steps, decay=DECAY)
        self._layers = list(zip(descent.parameters[::2], descent.parameters[1::2], strict=True))
        stream = named_stream(f"response {self._seed} batches {len(states)}")
        for _ in range(steps):
            chosen = torch.from_numpy(stream.randint(0, len(states), min(BATCH, len(states))))
            descent.step((self._network(states[chosen]) - wanted[chosen]).square().sum(1).mean())
        found = descent.found()
        self._layers = list(zip(found[::2], found[1::2], strict=True))
        self._floor = torch.from_numpy(0.1 * sample.spectrum.mean(0))
        varying = sample.spectrum.var(0).argsort(kind="stable")[::-1][:VARYING_BANDS]
        self._varying = torch.from_numpy(varying.copy())
        self._shares = self._shares_of(sample)

    def _shares_of(self, sample: Sample) -> dict[str, Tensor]:
        """Name in CHANGING -> shares (groups + 1,) of the squared changes of the state's groups and of the look."""
        from scipy.optimize import nnls

        squares = self._pair_squares(sample).double().numpy()
        shares = {}
        for name, change in sample.changes.items():
            target = np.square(change)
            weight = 1 / (target + FAINT * target.mean() + 1e-12)
            shares[name] = torch.from_numpy(nnls(squares * weight[:, None], target * weight)[0]).float()
        return shares

    def _pair_squares(self, sample: Sample) -> Tensor:
        """Squared changes (n, groups + 1) between the frames of n pairs, as `_squares` has them."""
        states = torch.from_numpy(sample.states)
        with torch.no_grad():
            looks = self._parts(states)["look"]
        first, second = slice(0, None, 2), slice(1, None, 2)
        return self._squares(states[second] - states[first], looks[second] - looks[first])

    def _network(self, states: Tensor) -> Tensor:
        values = (states - self._middle) / self._spread
        for weight, bias in self._layers[:-1]:
            values = functional.silu(values @ weight + bias)
        weight, bias = self._layers[-1]
        return values @ weight + bias

    def _parts(self, states: Tensor) -> dict[str, Tensor]:
        """Predict, name in STATIC -> coordinates (T, k) along its directions, in its own units."""
        sizes = [len(self._directions[name].rows) for name in STATIC]
        made = torch.split(self._network(states), sizes, 1)
        return {name: part * self._directions[name].size for name, part in zip(STATIC, made, strict=True)}

    def _squares(self, states: Tensor, looks: Tensor) -> Tensor:
        """Squared lengths (n, groups + 1) of changes of the states (n, C), group by group, and of the looks (n, k)."""
        groups = [states[:, group].square().sum(1) for group in self._groups]
        return torch.stack([*groups, looks.square().sum(1)], 1)

    def features(self, states: Tensor) -> Seen:
        """Predict what is seen for states (T, C) of successive frames, T at least 3."""
        parts = self._parts(states)
        spectrum = parts["spectrum"] @ self._directions["spectrum"].rows + self._directions["spectrum"].mean
        spectrum = spectrum.exp()
        steps = self._squares(states.diff(dim=0), parts["look"].diff(dim=0))
        bends = self._squares(states.diff(n=2, dim=0), parts["look"].diff(n=2, dim=0))
        difference, flow = (_with_first(_root(steps @ self._shares[name])[:, None]) for name in CHANGING)
        thirds = [round(SPECTRUM_BANDS * i / 3) for i in range(4)]
        tables = {
            "rgb_histogram": parts["rgb_histogram"],
            "hsv_histogram": parts["hsv_histogram"],
            "visual_variance": (parts["deviation"] @ self._directions["deviation"].rows)
            .add(self._directions["deviation"].mean)
            .square(),
            "spectrogram": spectrum,
            "low_rms": _rms(spectrum[:, thirds[0] : thirds[1]]),
            "mid_rms": _rms(spectrum[:, thirds[1] : thirds[2]]),
            "high_rms": _rms(spectrum[:, thirds[2] : thirds[3]]),
            "adaptive_rms": _rms(spectrum[:, self._varying]),
            "absolute_difference": difference,
            "directogram": flow,
            "spectral_onsets": _gains((spectrum + self._floor).log()),
            "flow_onsets": _gains(flow),
        }
        return Seen(
            tables, bend=_root(bends @ self._shares["absolute_difference"]).mean(), light=self._light(parts["look"])
        )

    def light(self, states: Tensor) -> Tensor:
        """Predict the relative luminance (T, pixels) of thumbnails for states (T, C)."""
        return self._light(self._parts(states)["look"])

    def _light(self, looks: Tensor) -> Tensor:
        """Relative luminance (T, pixels) of thumbnails, from their coordinates (T, k)."""
        directions = self._directions["look"]
        colours = (looks @ directions.rows + directions.mean).clamp(0, 1).view(len(looks), -1, 3)
        decoded = colours * (colours * (DECODED[0] * colours + DECODED[1]) + DECODED[2])
        light: Tensor = decoded @ colours.new_tensor(LUMINANCE.tolist())
        return light


@dataclass(frozen=True)
class Seen:
    """Predicted features of the picture."""

    tables: dict[str, Tensor]
    """Name of each of `correlation.VIDEO_FEATURES` -> (T, columns), up to a rotation of the columns."""
    bend: Tensor
    """Mean change () of the change of a pixel from frame to frame, in units of the pixel's range."""
    light: Tensor
    """Relative luminance (T, pixels) of thumbnails, in [0, 1]."""


def _root(squares: Tensor) -> Tensor:
    """Square roots with a finite gradient at 0."""
    return (squares + 1e-12).sqrt()


def _rms(bands: Tensor) -> Tensor:
    return _root(bands.square().mean(1, keepdim=True))


def _gains(bands: Tensor) -> Tensor:
    """Mean gain (T, 1) of all bands (T, C) since the frame before; losses count as 0."""
    return _with_first(bands.diff(dim=0).clamp_min(0).mean(1, keepdim=True))


def _with_first(changes: Tensor) -> Tensor:
    """Changes (T, C) from (T - 1, C); frame 0 has the value of frame 1."""
    return torch.cat([changes[:1], changes])
