"""Description of a render by everything that decides its bytes: two runs with equal jobs make equal chunks."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

import numpy as np

from audioreactive.media.ffmpeg import ffmpeg_version

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

    from audioreactive.chunks.scene import Scene
    from audioreactive.video.chunks import Encoding


@dataclass(frozen=True)
class Origin:
    """Identity of the inputs of a render."""

    song_sha256: str
    model_sha256: str
    preset: str
    """Preset as TOML, which is embedded in the video."""


def describe_job(scene: Scene, encoding: Encoding, origin: Origin, *, frames: range, length: int) -> dict[str, str]:
    """Describe a job as name -> value. If two jobs differ, the user is shown the names that differ.

    Args:
        scene: the renderer.
        encoding: settings of the encoder.
        origin: identity of the inputs.
        frames: frames of the song that are rendered.
        length: frames of a chunk.
    """
    settings = encoding.settings
    device = scene.torch_device
    return {
        "song": origin.song_sha256,
        "model": origin.model_sha256,
        "preset": hashlib.sha256(origin.preset.encode()).hexdigest(),
        "motion": _motion_digest(scene),
        "range": f"frames {frames.start} to {frames.stop - 1} at {settings.fps} a second",
        "size": f"{settings.size} from {encoding.frame_size} by {settings.filters or 'nothing'}",
        "device": _device_name(device),
        "precision": str(scene.dtype).removeprefix("torch."),
        "batch size": str(scene.batch),
        "chunk length": f"{length} frames",
        "encoder": f"{encoding.kind.video_encoder} of ffmpeg {ffmpeg_version()}, {settings.layout}, {settings.threads}",
        "quality": f"crf {settings.crf:g}, {settings.speed}",
        "program": f"audioreactive {version('audioreactive')}, torch {version('torch')}",
        "generator": scene.fingerprint + (", sketched" if scene.sketched else ""),
    }


def _motion_digest(scene: Scene) -> str:
    """Digest of all inputs of the generator, so that any change by the recipe, the stems or the beats changes it."""
    digest = hashlib.sha256()
    for part in _parts([scene.motion, scene.palette]):
        digest.update(part)
    return digest.hexdigest()


def _parts(value: Any) -> Iterator[bytes | memoryview]:
    """All arrays and numbers in a nested value, in order, as bytes."""
    if isinstance(value, np.ndarray):
        yield f"{value.dtype} {value.shape};".encode()
        yield np.ascontiguousarray(value).data
    elif dataclasses.is_dataclass(value):
        for field in dataclasses.fields(value):
            yield f"{field.name}:".encode()
            yield from _parts(getattr(value, field.name))
    elif isinstance(value, tuple | list):
        yield f"{len(value)};".encode()
        for item in value:
            yield from _parts(item)
    else:
        yield f"{value!r};".encode()


def _device_name(device: torch.device) -> str:
    """Name of the kind of device; two GPUs with the same name compute the same."""
    import torch

    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    return f"{device.type} {torch.backends.cpu.get_cpu_capability()}"
