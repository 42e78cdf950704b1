"""Training of synthesizers (section 4.2.2). A step depends only on the plan, the step number and the state before it.

The state is saved beside the result during the training. If the training is interrupted and started again, it continues
from there and ends with the same weights.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from dataclasses import asdict, dataclass, field
from functools import partial
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from audioreactive._support.files import write_aside
from audioreactive._support.streams import named_stream
from audioreactive.errors import SynthesizerError
from audioreactive.learn import losses
from audioreactive.learn.dataset import CLIP, all_clips, split_songs, weigh
from audioreactive.learn.decoders import parameter_free
from audioreactive.learn.model_file import Configuration, SynthesizerNetwork
from audioreactive.learn.research.targets import Content, curate, given_motion
from audioreactive.patches.fields import DEPTHS
from audioreactive.progress import Progress, Silent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from audioreactive.generators.protocol import Mapper
    from audioreactive.learn.dataset import Clips, Song
    from audioreactive.learn.generators import Kind
    from audioreactive.patches.motion import Motion

SHIFTS = 2
"""Number of shifts of the sound by which the correction for chance is estimated, for each batch."""
LARGEST_GRADIENT = 1.0
"""Largest norm of a gradient; recurrent networks sometimes have far larger ones, which are scaled down to it."""
KEEP_EVERY = 60.0
"""Seconds between two saves of the state of the training."""
HELD_CLIPS = 64
"""Number of clips from held-out songs for the held-out loss, always the same ones."""
SHELL = 0.1
"""Factor of `Plan.nearness` for the decoder without residuals, in `losses.off_the_shell`."""
HELD_EVERY = 100
"""Steps between two measurements of the held-out loss."""


@dataclass(frozen=True)
class Plan:
    """Settings of a training."""

    kind: Kind = "gru"
    depth: int = 4
    hidden: int = 17
    learned_decoder: bool = False
    residual: bool = True
    supervised: bool = False
    targets: int = 200
    """Number of recipes to imitate, if supervised."""
    best_of: int = 4
    """Recipes drawn for each recipe that is kept."""
    examples: int = 128_000
    batch: int = 32
    learning_rate: float = 1e-3
    """Step size of Adam, ten times the thesis', with which 4000 steps are too few (benchmarks/synthesizers.py)."""
    correction: float = 0.5
    """Weight of the penalty on the correlation that chance alone would give, measured by shifting the sound; 0 in the
    thesis."""
    calm: float = 0.15
    """Weight of the penalty on the total variation of each sequence, so that motion rests where nothing happens."""
    pace: float = 1.0
    """Weight of the speeds of the latents in the correlation: 1 is as much as one sequence, 0 as in the thesis. Without
    it the motion hardly reacts to drums, because viewers see the speed of a change as well as its result."""
    nearness: float = 1.0
    """Weight of the penalty on latents far from the model's own. It applies to the learned decoder, which comes as near
    as the Randomizer with it, and to the decoder without residuals. Residual motion cannot leave them."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """Weight of each feature, 1 if not given. If any is given, features are compared with sequences pair by pair."""
    seed: int = 0

    @property
    def steps(self) -> int:
        """Number of batches."""
        return max(-(-self.examples // self.batch), 1)

    def configuration(self, about: str, width: int | None) -> Configuration:
        """Description of the trained synthesizer, for its file."""
        return Configuration(
            kind=self.kind,
            hidden=self.hidden,
            depth=self.depth,
            decoder="learned" if self.learned_decoder else "parameter_free",
            residual=self.residual,
            width=width,
            about=about,
        )


@dataclass(frozen=True)
class Material:
    """Everything that a training learns from."""

    clips: Clips
    held: Clips | None
    targets: Sequence[Sequence[Motion]]
    """Motions to imitate, for each song of the clips; empty unless supervised."""
    content: Content | None
    """The model whose latents a learned decoder makes; None for the parameter-free decoder."""

    @property
    def digest(self) -> str:
        """Digest of the songs, whatever their order."""
        names = "\n".join(sorted(song.digest for song in self.clips.songs))
        return hashlib.sha256(names.encode()).hexdigest()[:32]


def gather(plan: Plan, songs: Sequence[Song], mapper: Mapper | None, progress: Progress | None = None) -> Material:
    """Collect clips, held-out clips, and targets if the training is supervised.

    Raises:
        SynthesizerError: nothing changes in the songs.
    """
    learned, held = split_songs(songs)
    clips = all_clips(learned)
    held_clips = None
    if held:
        try:
            held_clips = all_clips(held)
        except SynthesizerError:
            held_clips = None  # the held-out songs are silent
    targets: list[list[Motion]] = []
    if plan.supervised:
        targets = curate(clips.songs, plan.targets, best_of=plan.best_of, seed=plan.seed, progress=progress)
    if plan.learned_decoder and mapper is None:
        raise ValueError("a learned decoder makes latents of a model, and none is given")
    return Material(
        clips=clips,
        held=held_clips,
        targets=targets,
        content=Content.of(mapper) if mapper is not None else None,
    )


@dataclass
class Curves:
    """Losses of the training so far."""

    learned: list[float] = field(default_factory=list)
    """Loss of each step."""
    held: dict[int, float] = field(default_factory=dict)
    """Step -> loss on clips of held-out songs."""


class Training:
    """A training in progress: the network, the optimiser and the losses so far."""

    def __init__(self, plan: Plan, material: Material) -> None:
        self.plan, self.material = plan, material
        width = len(material.content.mean) if plan.learned_decoder and material.content is not None else None
        about = (
            f"{'supervised' if plan.supervised else 'self-supervised'} on {len(material.clips)} clips of "
            f"{len(material.clips.songs)} songs, {plan.examples} examples"
        )
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(plan.seed)
            self.network = SynthesizerNetwork(plan.configuration(about, width))
        self.optimiser = torch.optim.Adam(self.network.parameters(), lr=plan.learning_rate)
        self.curves = Curves()

    @property
    def step(self) -> int:
        """Number of steps done."""
        return len(self.curves.learned)

    def advance(self) -> float:
        """Do one step and return its loss."""
        stream = named_stream(f"synthesizer training {self.plan.seed} step {self.step}")
        indices = stream.randint(0, len(self.material.clips), self.plan.batch)
        if self.material.held is not None and self.step % HELD_EVERY == 0:
            self.curves.held[self.step] = self.held_loss()
        self.network.train()
        self.optimiser.zero_grad()
        loss = self.loss(self.material.clips, indices, stream, self.material.targets)
        value = float(loss.detach())
        if not math.isfinite(value):
            raise SynthesizerError(
                f"the training ran away at step {self.step}: its loss is {value}; try a lower --learning-rate"
            )
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), LARGEST_GRADIENT)
        self.optimiser.step()
        self.curves.learned.append(value)
        return value

    def held_loss(self) -> float:
        """Self-supervised loss on held-out songs, always on the same clips and shifts."""
        assert self.material.held is not None
        stream = named_stream("held-out clips")
        count = min(len(self.material.held), HELD_CLIPS)
        indices = stream.choice(len(self.material.held), count, replace=False)
        self.network.eval()
        with torch.no_grad():
            return float(self.loss(self.material.held, indices, stream, ()))

    def loss(
        self, clips: Clips, indices: NDArray[np.int64], stream: np.random.RandomState, targets: Sequence[Any]
    ) -> Tensor:
        """Loss of a batch, shape (): supervised if there are targets, else self-supervised."""
        envelopes = self.network.envelopes(clips.inputs(indices))
        if self.network.decoder is None:
            return self._parameter_free_loss(envelopes, clips, indices, stream, targets)
        return self._learned_loss(envelopes, clips, indices, stream, targets)

    def _parameter_free_loss(
        self,
        envelopes: Tensor,
        clips: Clips,
        indices: NDArray[np.int64],
        stream: np.random.RandomState,
        targets: Sequence[Sequence[Motion]],
    ) -> Tensor:
        motion = parameter_free(envelopes, residual=self.plan.residual, filled=False)
        if targets:
            weights = [
                torch.from_numpy(target.latents[start : start + CLIP])
                for target, start in _chosen(clips, indices, stream, targets)
            ]
            return losses.supervised(motion, given_motion(torch.stack(weights), residual=self.plan.residual))
        sequences = [motion[..., list(columns)] for columns in losses.SEQUENCES]
        loss = self.self_supervised(sequences, clips, indices, stream)
        if not self.plan.residual:
            radius = torch.stack([part.square().sum(-1) for part in sequences[:3]])
            loss = loss + SHELL * self.plan.nearness * losses.off_the_shell(radius)
        return loss

    def _learned_loss(
        self,
        envelopes: Tensor,
        clips: Clips,
        indices: NDArray[np.int64],
        stream: np.random.RandomState,
        targets: Sequence[Sequence[Motion]],
    ) -> Tensor:
        content = self.material.content
        assert self.network.decoder is not None and content is not None
        decoded = self.network.decoder(envelopes, residual=self.plan.residual)
        if targets:
            return self._imitation(decoded.latents, decoded.noise, _chosen(clips, indices, stream, targets))
        columns = self.network.decoder.score_columns(decoded)
        loss = self.self_supervised(columns, clips, indices, stream)
        return loss + self.plan.nearness * content.own.distance(decoded.latents.flatten(0, 1))

    def _imitation(self, latents: Tensor, noise: Sequence[Tensor], chosen: Sequence[tuple[Motion, int]]) -> Tensor:
        """Mean of five mean squared errors: of the latents, and of the noise maps of each octave."""
        content = self.material.content
        assert content is not None
        given = torch.stack([content.latents(target, start, start + CLIP) for target, start in chosen])
        maps = [
            torch.stack(part) for part in zip(*(content.noise(one, at, at + CLIP) for one, at in chosen), strict=True)
        ]
        if self.plan.residual:
            given = given - given.mean(1, keepdim=True)
            maps = [part - part.mean(1, keepdim=True) for part in maps]
        errors = [losses.supervised(latents, given) * latents.shape[-1]]
        errors += [losses.supervised(made, wanted) for made, wanted in zip(noise, maps, strict=True)]
        return torch.stack(errors).mean()

    def self_supervised(
        self, sequences: Sequence[Tensor], clips: Clips, indices: NDArray[np.int64], stream: np.random.RandomState
    ) -> Tensor:
        """Self-supervised loss, shape (), of sequences (B, CLIP, C) made for these clips."""
        features = clips.targets(indices)
        heard = losses.heard_together(list(features.values()))
        parts = [losses.normalised(part) for part in sequences]
        if self.plan.pace > 0:
            parts.append(self.plan.pace * losses.normalised(losses.paces(sequences[: len(DEPTHS)])))
        made = torch.cat(parts, dim=2)
        score = partial(losses.procrustes, made=made)
        if self.plan.weights:
            heard_blocks = _blocks([table.shape[2] for table in features.values()])
            made_blocks = _blocks([part.shape[2] for part in parts])
            weights = weigh(features, self.plan.weights)
            score = partial(
                losses.pairwise, made=made, heard_blocks=heard_blocks, made_blocks=made_blocks, weights=weights
            )
        loss = 1 - score(heard).mean()
        if self.plan.correction > 0:
            # At least a second, because sound is similar to itself at smaller shifts.
            shifts = [int(shift) for shift in stream.randint(CLIP // 8, CLIP - CLIP // 8, SHIFTS)]
            loss = loss + self.plan.correction * losses.chance(score, heard, shifts).mean()
        if self.plan.calm > 0:
            ways = torch.stack([losses.variation(part) for part in sequences])
            calm = self.plan.calm * (losses.CALM_OF_PAIRS if self.plan.weights else 1)
            loss = loss + calm * ways.mean()
        return loss

    # The state on disk.

    def _identity(self) -> str:
        plan = asdict(self.plan) | {"examples": None, "music": self.material.digest}
        plan["lessons"] = plan.pop("targets")  # the name in files of earlier versions, which can still be continued
        return json.dumps(plan, sort_keys=True)

    def keep(self, path: Path) -> None:
        """Write the state of the training: everything that the next step depends on."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
        tensors["losses"] = torch.tensor(self.curves.learned, dtype=torch.float64)
        held = json.dumps({str(step): value for step, value in self.curves.held.items()})
        content = save(
            {name: tensor.contiguous() for name, tensor in tensors.items()},
            {"plan": self._identity(), "held": held},
        )
        with write_aside(path) as file:
            file.write(content)

    def resume(self, path: Path) -> None:
        """Continue from a saved state.

        Raises:
            SynthesizerError: the state belongs to another plan or other music, or is damaged.
        """
        if not path.is_file():
            raise SynthesizerError(f"{str(path)!r} is no file, but a training keeps itself there; delete it")
        try:
            with safe_open(path, framework="pt") as file:
                metadata = file.metadata() or {}
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            if metadata.get("plan") != self._identity():
                raise SynthesizerError(
                    f"{str(path)!r} is of a training with other settings or other music: continue with those, "
                    f"delete it, or choose another -o"
                )
            self._restore(tensors)
            self.curves = Curves(
                [float(value) for value in tensors["losses"]],
                {int(step): float(value) for step, value in json.loads(metadata["held"]).items()},
            )
        except (SafetensorError, OSError, KeyError, ValueError, RuntimeError, TypeError, IndexError) as error:
            raise SynthesizerError(f"{str(path)!r} is damaged; delete it to begin anew") from error

    def _restore(self, tensors: Mapping[str, Tensor]) -> None:
        prefix = "network."
        state = {name.removeprefix(prefix): t for name, t in tensors.items() if name.startswith(prefix)}
        self.network.load_state_dict(state)
        moments: dict[int, dict[str, Tensor]] = {}
        for name, tensor in tensors.items():
            if name.startswith("optimiser."):
                _, index, key = name.split(".")
                moments.setdefault(int(index), {})[key] = tensor
        groups = self.optimiser.state_dict()["param_groups"]
        self.optimiser.load_state_dict({"state": moments, "param_groups": groups})


def train(plan: Plan, material: Material, *, state: Path | None = None, progress: Progress | None = None) -> Training:
    """Train to the end of the plan. With `state`, save the state there regularly, and continue from it if it exists.

    Raises:
        SynthesizerError: the saved state belongs to another training, or the loss is no longer finite.
    """
    training = Training(plan, material)
    if state is not None and state.exists():
        training.resume(state)
    kept = time.monotonic()
    with (progress or Silent()).track("training", plan.steps, "step") as advance:
        advance(min(training.step, plan.steps))
        try:
            while training.step < plan.steps:
                training.advance()
                advance(1)
                if state is not None and time.monotonic() - kept > KEEP_EVERY:
                    training.keep(state)
                    kept = time.monotonic()
        except BaseException as error:
            if state is not None:
                training.keep(state)
                error.add_note(f"the training is kept in {state}: the same command again goes on from there")
            raise
    training.network.eval()
    return training


def _chosen(
    clips: Clips, indices: NDArray[np.int64], stream: np.random.RandomState, targets: Sequence[Sequence[Motion]]
) -> list[tuple[Motion, int]]:
    """For each clip a random target of its song, and the first frame of the clip."""
    return [(targets[song][stream.randint(len(targets[song]))], int(start)) for song, start in clips.places[indices]]


def _blocks(widths: Sequence[int]) -> list[slice]:
    edges = np.cumsum([0, *widths])
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]
