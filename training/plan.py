"""What a training run does, in stages; every number that decides the result is here."""

from dataclasses import dataclass

from stylegan_ops.architecture import Architecture
from training.pictures import Z_DIM


@dataclass(frozen=True)
class Stage:
    """One part of a run, at one resolution."""

    resolution: int
    """0 for scattered points: the deep layers and those above learn apart from one another."""
    batch: int
    pictures: int
    """How many pictures the generator paints in this stage."""
    lr: float
    """Learning rate of the generator at the start of the stage."""
    final_lr: float
    """At its end; between them it falls evenly."""
    fit: float = 1.0
    """Weight of the distance to the picture that the latents and the noise ask for."""
    fit_scale: int = 1
    """The finest scale of that distance, in pixels: 1 compares every pixel, 4 only what is left at a quarter."""
    adversary: float = 0.0
    """Weight of the discriminator's judgement; without it the discriminator rests."""
    adversary_lr: float = 4.0
    """Learning rate of the discriminator, as a multiple of the generator's: it has less time to learn."""
    cells: int = 0
    """Side of a window of the seam, in its pixels, that the upper layers paint from, the deep ones learning apart; 0
    for whole pictures and the whole network."""
    window: int = 0
    """Side of the part of a picture that the discriminator sees, at a random place; 0 for the whole."""
    r1: float = 1.0
    """γ of the R1 penalty (Mescheder et al. 2018)."""
    path_length: float = 0.0
    """Weight of path-length regularisation (StyleGAN2, section 3.2)."""


@dataclass(frozen=True)
class Plan:
    """A whole run."""

    architecture: Architecture
    discriminator: tuple[int, ...]
    """Channels of the discriminator's blocks at 4, 8, 16, ..."""
    stages: tuple[Stage, ...]
    seed: int = 1
    ema_steps: int = 250
    """Half-life of the weights' moving average."""

    @property
    def pictures(self) -> int:
        """Of all stages."""
        return sum(stage.pictures for stage in self.stages)


def _architecture(channels: tuple[int, ...]) -> Architecture:
    return Architecture(
        z_dim=Z_DIM, w_dim=384, mapping_features=(2 * Z_DIM, 384, 384), channels=channels, mapping_lr=0.3
    )


def plans() -> dict[str, Plan]:
    """The runs that there are, by name."""
    return {
        "cpu": Plan(
            architecture=_architecture((192, 192, 256, 256, 160, 64, 32)),
            discriminator=(128, 128, 128, 128, 96, 48, 32),
            stages=(
                Stage(0, 64, 480_000, 5e-3, 2e-3),
                Stage(0, 64, 320_000, 2e-3, 2e-4),
                Stage(256, 24, 24_000, 3e-4, 1e-4, cells=6),
                Stage(256, 24, 36_000, 4e-4, 1.8e-4, cells=6, fit_scale=2, adversary=0.1, r1=0.1),
                Stage(256, 24, 12_000, 1.8e-4, 1e-4, cells=6, adversary=0.04, r1=0.1),
                Stage(256, 8, 1_600, 1e-4, 3e-5, adversary=0.03, window=64, r1=0.1, path_length=0.5),
            ),
        ),
        "gpu": Plan(
            architecture=_architecture((512, 512, 512, 512, 256, 128, 64, 32)),
            discriminator=(512, 512, 512, 256, 192, 128, 64, 32),
            stages=(
                Stage(0, 256, 2_000_000, 4e-3, 3e-4),
                Stage(512, 64, 200_000, 2e-4, 1e-4, cells=6),
                Stage(512, 64, 300_000, 4e-4, 1e-4, cells=6, fit_scale=2, adversary=0.1, r1=0.1),
                Stage(512, 32, 50_000, 1e-4, 5e-5, fit_scale=2, adversary=0.05, window=128, r1=0.2, path_length=0.5),
            ),
        ),
        "toy": Plan(
            architecture=Architecture(
                z_dim=Z_DIM,
                w_dim=48,
                mapping_features=(2 * Z_DIM, 48),
                channels=(32, 32, 32, 32, 32),
                mapping_lr=0.3,
            ),
            discriminator=(16, 16, 16, 16, 16),
            stages=(
                Stage(0, 8, 64, 3e-3, 2e-3),
                Stage(32, 8, 64, 2e-3, 1e-3),
                Stage(64, 8, 64, 2e-3, 1e-3, cells=10, fit_scale=2, adversary=0.1),
                Stage(64, 8, 64, 2e-3, 1e-3, fit_scale=2, adversary=0.1, window=32, path_length=0.5),
            ),
        ),
    }
