"""Parts of a preset that move the generator itself: the camera, bends of activations, and changes of weights.

Conventions: the depth of a layer is from 0 for the coarsest to 1 for the finest, whatever the model.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from audioreactive.patches.fields import PLAIN_FILE, Envelope, Part, Period, Reach, Seed, check_univariate

Target = Literal["x", "y", "rotation", "zoom"]
TARGETS: tuple[Target, ...] = ("x", "y", "rotation", "zoom")
"""What of a camera moves. x and y: the picture to the right and upwards, in its widths; rotation: degrees,
counter-clockwise; zoom: doublings, so that 1 is twice as large."""
Amount = Annotated[float, Field(ge=-3600, le=3600)]


class CameraEnvelope(Part):
    """Movement of the camera by an envelope: `low` where it is 0, `high` where it is 1."""

    strategy: Literal["envelope"]
    target: Target
    envelope: Envelope
    low: Amount = 0.0
    high: Amount

    @model_validator(mode="after")
    def _one_envelope(self) -> CameraEnvelope:
        check_univariate(self.envelope, "a camera")
        return self


class _Periodic(Part):
    """Base of movements of the camera that have a period."""

    target: Target
    amount: Amount
    bars: Annotated[float, Field(ge=0.001, le=1024)] | None = None
    seconds: Period | None = None

    @model_validator(mode="after")
    def _one_length(self) -> _Periodic:
        if (self.bars is None) == (self.seconds is None):
            raise ValueError("a movement of the camera needs either bars or seconds")
        return self


class CameraSwing(_Periodic):
    """Movement to and fro: `amount` to both sides of the rest, once per period."""

    strategy: Literal["swing"]
    phase: Annotated[float, Field(ge=-1, le=1)] = 0.0
    """Start, in turns: 0 in the middle, 0.25 at the furthest."""


class CameraDrift(_Periodic):
    """Movement in one direction: `amount` in each period."""

    strategy: Literal["drift"]
    envelope: Envelope | None = None
    """Factor on the speed, where it should change; None: 1."""

    @model_validator(mode="after")
    def _one_envelope(self) -> CameraDrift:
        if self.envelope is not None:
            check_univariate(self.envelope, "a camera")
        return self


CameraMove = Annotated[CameraEnvelope | CameraSwing | CameraDrift, Field(discriminator="strategy")]


class Camera(Part):
    """Movement of the plane on which a StyleGAN3 paints; movements of one target are added up."""

    reach: Reach = 1.0
    """Final factor on all movements: 0 stops them."""
    moves: Annotated[tuple[CameraMove, ...], Field(max_length=32)] = ()


BendTransform = Literal[
    "translate", "rotate", "scale", "flip", "erode", "dilate", "multiply", "threshold", "invert", "ablate"
]
"""Transforms of activations, as `stylegan_ops.bending` has them."""


class Bend(Part):
    """Transform of a network's activations between two layers; its amount moves with an envelope."""

    layer: Annotated[float, Field(ge=0, le=1)] = 0.5
    """Depth of the layer, from 0 for the coarsest to 1 for the finest."""
    transform: BendTransform
    envelope: Envelope | None = None
    """Envelope that moves the amount from `low` to `high`; None: it is `high` throughout."""
    low: Annotated[float, Field(ge=-720, le=720)] | None = None
    """Amount where the envelope is 0; None: the one that changes nothing."""
    high: Annotated[float, Field(ge=-720, le=720)]
    angle: Annotated[float, Field(ge=-360, le=360)] = 0.0
    """Direction of a translation in degrees: 0 to the right, 90 upwards."""
    share: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the channels that are transformed, chosen by `seed`."""
    seed: Seed = 0
    cluster: Annotated[int, Field(ge=0, le=31)] | None = None
    """Number of the cluster whose channels are transformed: channels that are active at similar places."""
    clusters: Annotated[int, Field(ge=2, le=32)] = 5
    """Number of clusters into which the layer's channels are divided."""
    muted: bool = False
    """Whether the bend is switched off, for a while."""

    @model_validator(mode="after")
    def _it_makes_sense(self) -> Bend:
        if self.envelope is not None:
            check_univariate(self.envelope, "a bend")
        if self.envelope is None and self.low is not None:
            raise ValueError("low needs an envelope; without one the amount is high throughout")
        if self.cluster is not None and self.share != 1:
            raise ValueError("a bend is of a random share of channels or of a cluster: give share or cluster")
        return self


FileName = Annotated[str, Field(pattern=f"^{PLAIN_FILE.pattern}$")]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
"""Hexadecimal SHA-256 of a file."""


class WeightChange(Part):
    """Change of a network's weights: towards a second model of the same architecture, or by rank-one edits.

    The file is looked for among those that are given with the option --with, and beside the preset.
    """

    toward: FileName | None = None
    """Name of the second model's file."""
    edits: FileName | None = None
    """Name of a file of edits, as `audioreactive model edit` takes it."""
    sha256: Digest | None = None
    """Digest of the file; a file with another one is refused."""
    layers: tuple[Annotated[float, Field(ge=0, le=1)], Annotated[float, Field(ge=0, le=1)]] = (0.0, 1.0)
    """Depths of the first and the last layer that change, from 0 for the coarsest to 1 for the finest."""
    envelope: Envelope | None = None
    """Envelope that moves the amount from `low` to `high`; None: it is `high` throughout."""
    low: Annotated[float, Field(ge=-100, le=100)] | None = None
    """Amount where the envelope is 0; None: 0, the first model."""
    high: Annotated[float, Field(ge=-100, le=100)] = 1.0
    """Amount where the envelope is 1: share of the second model, or factor of the edits."""
    muted: bool = False
    """Whether the change is switched off, for a while."""

    @property
    def file(self) -> str:
        """Name of its file."""
        return self.toward or self.edits or ""

    @model_validator(mode="after")
    def _it_makes_sense(self) -> WeightChange:
        if (self.toward is None) == (self.edits is None):
            raise ValueError("weights move toward a second model, or by edits: give one of the two")
        if self.envelope is not None:
            check_univariate(self.envelope, "a change of weights")
        if self.envelope is None and self.low is not None:
            raise ValueError("low needs an envelope; without one the amount is high throughout")
        if self.layers[0] > self.layers[1]:
            raise ValueError(f"layers {list(self.layers)} run backwards: give the coarser depth first")
        if self.toward is not None and not all(0 <= amount <= 1 for amount in (self.low or 0, self.high)):
            raise ValueError("a share of a second model is from 0 to 1")
        return self
