"""How far a StyleGAN3's picture moves as its plane does: EQ-T and EQ-R of the paper, in decibels.

EQ-T moves the plane by whole pixels, up to an eighth of the picture, in both directions; EQ-R turns it by a quarter, a
half and three quarters, where pixels lie on pixels. The moved picture is compared with the picture of the moved plane
where both have pixels, at a peak of 2.

    python benchmarks/equivariance.py [MODEL ...]
"""

from __future__ import annotations

import argparse
import math
from pathlib import Path

import torch

from stylegan_ops import AliasFreeGenerator, load_generator
from stylegan_ops.stylegan3.design import Plan

PICTURES = 8


def translation(network: AliasFreeGenerator, ws: torch.Tensor) -> float:
    """Return EQ-T of the pictures of latents."""
    size = network.img_size[0]
    still, errors, draw = network.synthesis(ws), [], torch.Generator().manual_seed(1)
    for _ in range(4):
        x, y = torch.randint(-(size // 8), size // 8 + 1, (2,), generator=draw).tolist()
        matrix = torch.eye(3)
        matrix[0, 2], matrix[1, 2] = -x / size, -y / size
        moved = network.synthesis(ws, transform=network.transform @ matrix)
        wanted = still.roll((y, x), (2, 3))
        rows, columns = _kept(y, size), _kept(x, size)
        errors.append((moved - wanted)[:, :, rows, columns].square().mean())
    return _decibels(errors)


def rotation(network: AliasFreeGenerator, ws: torch.Tensor) -> float:
    """Return EQ-R of the pictures of latents, within the largest circle."""
    size = network.img_size[0]
    still, errors = network.synthesis(ws), []
    place = torch.arange(size) + 0.5 - size / 2
    inside = (place[:, None] ** 2 + place**2) < (size / 2) ** 2
    for turns in (1, 2, 3):
        angle = turns * math.pi / 2
        cos, sin = round(math.cos(angle)), round(math.sin(angle))
        matrix = torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], dtype=torch.float32)
        turned = network.synthesis(ws, transform=network.transform @ matrix)
        candidates = [still.rot90(way, (2, 3)) for way in (turns, -turns)]
        errors.append(min((turned - wanted)[:, :, inside].square().mean() for wanted in candidates))
    return _decibels(errors)


def _kept(shift: int, size: int) -> slice:
    """Rows or columns that are not new after a shift."""
    return slice(max(shift, 0), size + min(shift, 0))


def _decibels(errors: list[torch.Tensor]) -> float:
    return 10 * math.log10(4 / max(float(torch.stack(errors).mean()), 1e-12))


def main() -> None:
    """Print one row for each network."""
    parser = argparse.ArgumentParser()
    parser.add_argument("models", nargs="*", type=Path)
    options = parser.parse_args()
    networks: dict[str, AliasFreeGenerator] = {
        "random T of 64": AliasFreeGenerator.random(Plan(64, 2048, 64), seed=1),
        "random R of 64": AliasFreeGenerator.random(
            Plan(64, 4096, 128, conv_kernel=1, use_radial_filters=True), seed=1
        ),
    }
    for path in options.models:
        loaded = load_generator(path)
        assert isinstance(loaded, AliasFreeGenerator), f"{path} is no StyleGAN3"
        networks[path.name] = loaded
    print(f"{'':20}{'EQ-T dB':>9}{'EQ-R dB':>9}")
    for name, network in networks.items():
        z = torch.randn(PICTURES, network.z_dim, generator=torch.Generator().manual_seed(0))
        c = torch.eye(network.c_dim)[:1].repeat(PICTURES, 1) if network.c_dim else None
        ws = network.mapping(z, c)
        print(f"{name:20}{translation(network, ws):9.1f}{rotation(network, ws):9.1f}", flush=True)


if __name__ == "__main__":
    main()
