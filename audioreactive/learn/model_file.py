"""Files of trained synthesizers: safetensors with a description in the metadata. Nothing in them is executed.

Weights are rounded to float16, in a preset too, which carries the whole file. So both give the same motion.
"""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
import torch
from pydantic import Field, ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from audioreactive._support.files import read_regular, write_aside
from audioreactive.errors import SynthesizerError
from audioreactive.learn.decoders import LearnedDecoder, parameter_free, rotation
from audioreactive.learn.generators import EnvelopeGenerator, Kind
from audioreactive.learn.tables import INPUTS, RATE
from audioreactive.patches.fields import Part
from audioreactive.patches.schema import Trained

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    FloatArray = NDArray[np.float32]

METADATA_KEY = "audioreactive_synthesizer"
SUFFIX = ".safetensors"
LARGEST_FILE = 16 << 20
"""Most bytes of a file, a hundred times those of a usual one."""
LARGEST_EMBEDDED = 225_000
"""Most bytes of a synthesizer in a preset: `schema.Trained` takes 300 000 characters of base64."""
LARGEST_HEADER = 1 << 20
"""Most bytes of the header of a file."""
BLOCK = 192
"""Frames of a block for attention, as in training; blocks overlap by half and are cross-faded."""


class Configuration(Part):
    """Description of a synthesizer: everything that its tensors do not tell."""

    format: Literal[1] = 1
    kind: Kind
    hidden: Annotated[int, Field(ge=1, le=256)] = 17
    depth: Annotated[int, Field(ge=1, le=32)] = 4
    inputs: Literal[58] = INPUTS  # type: ignore[assignment]
    decoder: Literal["parameter_free", "learned"] = "parameter_free"
    residual: bool = True
    width: Annotated[int, Field(ge=1, le=4096)] | None = None
    """W, the width of the latents that a learned decoder makes."""
    about: Annotated[str, Field(max_length=2000)] = ""
    """Text about the training, for the user."""


class SynthesizerNetwork(nn.Module):
    """Envelope generator and decoder."""

    def __init__(self, configuration: Configuration) -> None:
        super().__init__()
        self.configuration = configuration
        self.generator = EnvelopeGenerator(
            configuration.kind, inputs=INPUTS, hidden=configuration.hidden, depth=configuration.depth
        )
        learned = configuration.decoder == "learned"
        self.decoder = LearnedDecoder(configuration.width or 512) if learned else None

    def envelopes(self, features: Tensor) -> Tensor:
        """Envelopes (B, T, 17) of features (B, T, 58), of any length in linear time."""
        if self.configuration.kind == "transformer" and features.shape[1] > BLOCK:
            return self._in_blocks(features)
        envelopes: Tensor = self.generator(features)
        return envelopes

    def _in_blocks(self, features: Tensor) -> Tensor:
        frames, hop = features.shape[1], BLOCK // 2
        total: Tensor | None = None
        share = torch.zeros(frames, 1)
        fade = torch.sin(torch.pi * (torch.arange(BLOCK) + 0.5) / BLOCK).square()[:, None]
        for start in range(0, frames - hop, hop):
            first = max(min(start, frames - BLOCK), 0)
            rows = slice(first, first + BLOCK)
            part = self.generator(features[:, rows])
            total = torch.zeros(len(features), frames, part.shape[2]) if total is None else total
            total[:, rows] += fade * part
            share[rows] += fade
        assert total is not None
        return total / share


@dataclass(frozen=True)
class SynthesizerModel:
    """A trained synthesizer, ready to run."""

    network: SynthesizerNetwork

    @property
    def configuration(self) -> Configuration:
        """Description of the synthesizer."""
        return self.network.configuration

    def motion(self, inputs: FloatArray, motion_seed: int) -> FloatArray:
        """Motion (T, 17) in [-1, 1] from features (T, 58) at RATE, by the parameter-free decoder.

        Raises:
            SynthesizerError: the weights are so large that the motion is not finite.
        """
        with torch.inference_mode():
            envelopes = self.network.envelopes(torch.from_numpy(inputs)[None])
            if motion_seed:
                envelopes = evened(envelopes) @ rotation(motion_seed).float()
            motion: FloatArray = parameter_free(envelopes, residual=self.configuration.residual, filled=True)[0].numpy()
        if not np.isfinite(motion).all():
            raise SynthesizerError("the synthesizer's motion is no number any more: its weights are damaged")
        return motion


def evened(envelopes: Tensor) -> Tensor:
    """Envelopes (B, T, 17) centred and scaled as the decoder does it, as a preparation for a rotation."""
    centred = envelopes - envelopes.mean(-2, keepdim=True)
    return centred / centred.square().mean(-2, keepdim=True).clamp_min(1e-12).sqrt()


def file_bytes(network: SynthesizerNetwork) -> bytes:
    """Content of the file of a synthesizer."""
    state = {name: tensor.detach().half().contiguous() for name, tensor in network.state_dict().items()}
    return save(state, {METADATA_KEY: network.configuration.model_dump_json()})


def write_model(network: SynthesizerNetwork, path: Path) -> None:
    """Write a trained synthesizer to a temporary file and rename it."""
    with write_aside(path) as file:
        file.write(file_bytes(network))


def read_model(path: Path) -> SynthesizerModel:
    """The synthesizer in a file. Nothing in it is executed.

    Raises:
        SynthesizerError: the file is missing, too large, damaged, hostile, or something else.
    """
    return model_of(_file_content(path), str(path))


def _file_content(path: Path) -> bytes:
    try:
        size = path.stat().st_size
        if not path.is_file():
            raise SynthesizerError(f"{str(path)!r} is not a file; give hippo, or what 'audioreactive train' wrote")
        if size > LARGEST_FILE:
            raise SynthesizerError(f"{str(path)!r} has {size} bytes; a synthesizer has at most {LARGEST_FILE}")
        return read_regular(path, LARGEST_FILE)
    except OSError as error:
        reason = error.strerror or str(error)
        raise SynthesizerError(
            f"the synthesizer {str(path)!r} cannot be read ({reason}); give hippo, or what 'audioreactive train' wrote"
        ) from None


def embeddable(path: Path, motion_seed: int) -> Trained:
    """A trained synthesizer in the form that a preset contains.

    Raises:
        SynthesizerError: see `read_model`; or the file is too large for a preset, or its decoder fits one model only.
    """
    data = _file_content(path)
    if model_of(data, str(path)).configuration.decoder == "learned":
        raise SynthesizerError(
            f"{str(path)!r} was trained with the learned decoder, whose latents fit one model and no palette: it can "
            f"be measured (benchmarks/synthesizers.py) but not rendered; train with --decoder parameter-free"
        )
    if len(data) > LARGEST_EMBEDDED:
        raise SynthesizerError(
            f"{str(path)!r} has {len(data)} bytes, and a preset carries up to {LARGEST_EMBEDDED}: train a smaller one"
        )
    return Trained(kind="trained", name="trained", motion_seed=motion_seed, model=base64.b64encode(data).decode())


def embedded_model(text: str, name: str) -> SynthesizerModel:
    """The synthesizer in a preset; `name` is its name in messages.

    Raises:
        SynthesizerError: see `read_model`.
    """
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        raise SynthesizerError(f"{name} is damaged: its model is no base64") from None
    model = model_of(data, name)
    if model.configuration.decoder == "learned":
        raise SynthesizerError(f"{name} has a learned decoder, which fits no palette; train it without")
    return model


def model_of(data: bytes, name: str) -> SynthesizerModel:
    """The synthesizer in the content of a file; `name` is its name in messages.

    Raises:
        SynthesizerError: see `read_model`.
    """
    configuration = _configuration(data, name)
    try:
        state = load(data)
    except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
        raise SynthesizerError(f"{name} is damaged: its header and its tensors do not fit; fetch it again") from error
    with torch.device("meta"):
        network = SynthesizerNetwork(configuration)
    _check_tensors(state, network.state_dict(), name)
    network.load_state_dict({key: tensor.float() for key, tensor in state.items()}, assign=True)
    return SynthesizerModel(network.eval().requires_grad_(False))


def _configuration(data: bytes, name: str) -> Configuration:
    """Read the configuration from the metadata in the header."""
    size = int.from_bytes(data[:8], "little")
    if not 0 < size <= min(len(data) - 8, LARGEST_HEADER):
        raise SynthesizerError(f"{name} is no safetensors file; give hippo, or what 'audioreactive train' wrote")
    try:
        header = json.loads(data[8 : 8 + size])
        text = header["__metadata__"][METADATA_KEY]
        described: Any = json.loads(text)
    except (KeyError, TypeError, ValueError, RecursionError):
        raise SynthesizerError(
            f"{name} is a file of something else than a synthesizer; give hippo, or what 'audioreactive train' wrote"
        ) from None
    try:
        return Configuration.model_validate(described)
    except (ValidationError, RecursionError) as error:
        reason = error.errors()[0]["msg"] if isinstance(error, ValidationError) else "nested too deeply"
        raise SynthesizerError(f"{name} does not say what it is as this program understands it: {reason}") from None


def _check_tensors(state: Mapping[str, Tensor], wanted: Mapping[str, Tensor], name: str) -> None:
    if missing := sorted(set(wanted) - set(state)):
        raise SynthesizerError(f"{name} lacks the tensor {missing[0]}: the file is damaged")
    if extra := sorted(set(state) - set(wanted)):
        raise SynthesizerError(f"{name} has a tensor {extra[0][:80]!r} that its network does not: the file is damaged")
    for key, tensor in state.items():
        if tensor.shape != wanted[key].shape:
            shapes = f"{tuple(tensor.shape)} instead of {tuple(wanted[key].shape)}"
            raise SynthesizerError(f"{name}: the tensor {key} has the shape {shapes}: the file is damaged")
        if not tensor.is_floating_point() or not torch.isfinite(tensor.float()).all():
            raise SynthesizerError(f"{name}: the tensor {key} holds values that are no numbers: the file is damaged")


assert float(RATE) * 8 == BLOCK
