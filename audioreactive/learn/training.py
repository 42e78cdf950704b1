"""Training, step by step: the same plan and step number give the same step, whatever came between (section 4.2.2).

The state is kept beside the result while training goes on; begun again, it continues there and ends in the same
weights.
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
from audioreactive.learn.lessons import Content, curate, given_motion
from audioreactive.learn.model_file import Configuration, SynthesizerNetwork
from audioreactive.patches.schema import DEPTHS
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
"""Other times at which a clip's motion is held against its sound, where a correction is asked for."""
LARGEST_GRADIENT = 1.0
"""Norm to which gradients are cut: recurrent networks now and then have far larger ones."""
KEEP_EVERY = 60.0
"""Seconds between two states on disk."""
HELD_CLIPS = 64
"""Clips of held-out songs on which the loss is taken, always the same ones."""
SHELL = 0.1
"""Of `nearness`, for averages."""
HELD_EVERY = 100
"""Steps between two losses on held-out songs."""


@dataclass(frozen=True)
class Plan:
    """All choices of a training."""

    kind: Kind = "gru"
    depth: int = 4
    hidden: int = 17
    learned_decoder: bool = False
    residual: bool = True
    supervised: bool = False
    lessons: int = 200
    """Recipes to imitate."""
    best_of: int = 4
    """Recipes that are drawn for each that is kept."""
    examples: int = 128_000
    batch: int = 32
    learning_rate: float = 1e-3
    """Ten times the thesis': with its own, 4000 steps are too few (benchmarks/synthesizers.py)."""
    correction: float = 0.5
    """How much of the correlation with the same sound at other times is held against the motion; 0 as in the thesis."""
    calm: float = 0.15
    """Weight of the way that each sequence goes: what makes motion rest where nothing happens."""
    pace: float = 1.0
    """How much the speeds of the latents count beside the latents themselves: at 1, as much as one sequence; 0 as in
    the thesis. A change is seen as well as what it leads to, and without this, drums are hardly answered."""
    nearness: float = 1.0
    """Weight of the term that keeps latents near the model's own: it counts for the learned decoder, which comes as
    near as the Randomizer with it, and for averages. Residual motion never leaves them."""
    weights: Mapping[str, float] = field(default_factory=dict)
    """How much more than others a feature counts: pair by pair, if there are any."""
    seed: int = 0

    @property
    def steps(self) -> int:
        """Batches that make up the examples."""
        return max(-(-self.examples // self.batch), 1)

    def configuration(self, about: str, width: int | None) -> Configuration:
        """What the trained synthesizer says of itself."""
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
    """What is learned from."""

    clips: Clips
    held: Clips | None
    lessons: Sequence[Sequence[Motion]]
    """Of each song of the clips; empty unless supervised."""
    content: Content | None
    """Of the model whose latents a learned decoder makes."""

    @property
    def digest(self) -> str:
        """Which songs they are."""
        names = "\n".join(sorted(song.digest for song in self.clips.songs))
        return hashlib.sha256(names.encode()).hexdigest()[:32]


def gather(plan: Plan, songs: Sequence[Song], mapper: Mapper | None, progress: Progress | None = None) -> Material:
    """Clips, held-out clips, and lessons if they are needed.

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
            held_clips = None  # songs that are held out may be silent
    lessons: list[list[Motion]] = []
    if plan.supervised:
        lessons = curate(clips.songs, plan.lessons, best_of=plan.best_of, seed=plan.seed, progress=progress)
    if plan.learned_decoder and mapper is None:
        raise ValueError("a learned decoder makes latents of a model, and none is given")
    return Material(
        clips=clips,
        held=held_clips,
        lessons=lessons,
        content=Content.of(mapper) if mapper is not None else None,
    )


@dataclass
class Curves:
    """The losses so far."""

    learned: list[float] = field(default_factory=list)
    """One for each step."""
    held: dict[int, float] = field(default_factory=dict)
    """Step -> loss on clips of held-out songs."""


class Training:
    """A network on its way."""

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
        """Steps that are done."""
        return len(self.curves.learned)

    def advance(self) -> float:
        """One step; its loss."""
        stream = named_stream(f"synthesizer training {self.plan.seed} step {self.step}")
        indices = stream.randint(0, len(self.material.clips), self.plan.batch)
        if self.material.held is not None and self.step % HELD_EVERY == 0:
            self.curves.held[self.step] = self.held_loss()
        self.network.train()
        self.optimiser.zero_grad()
        loss = self.loss(self.material.clips, indices, stream, self.material.lessons)
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
        self, clips: Clips, indices: NDArray[np.int64], stream: np.random.RandomState, lessons: Sequence[Any]
    ) -> Tensor:
        """() of a batch: supervised if there are lessons, else self-supervised."""
        envelopes = self.network.envelopes(clips.inputs(indices))
        if self.network.decoder is None:
            return self._parameter_free_loss(envelopes, clips, indices, stream, lessons)
        return self._learned_loss(envelopes, clips, indices, stream, lessons)

    def _parameter_free_loss(
        self,
        envelopes: Tensor,
        clips: Clips,
        indices: NDArray[np.int64],
        stream: np.random.RandomState,
        lessons: Sequence[Sequence[Motion]],
    ) -> Tensor:
        motion = parameter_free(envelopes, residual=self.plan.residual, filled=False)
        if lessons:
            weights = [
                torch.from_numpy(lesson.latents[start : start + CLIP])
                for lesson, start in _chosen(clips, indices, stream, lessons)
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
        lessons: Sequence[Sequence[Motion]],
    ) -> Tensor:
        content = self.material.content
        assert self.network.decoder is not None and content is not None
        decoded = self.network.decoder(envelopes, residual=self.plan.residual)
        if lessons:
            return self._imitation(decoded.latents, decoded.noise, _chosen(clips, indices, stream, lessons))
        columns = self.network.decoder.score_columns(decoded)
        loss = self.self_supervised(columns, clips, indices, stream)
        return loss + self.plan.nearness * content.own.distance(decoded.latents.flatten(0, 1))

    def _imitation(self, latents: Tensor, noise: Sequence[Tensor], chosen: Sequence[tuple[Motion, int]]) -> Tensor:
        """Mean squared errors of latents and of each noise map, a mean over all five."""
        content = self.material.content
        assert content is not None
        given = torch.stack([content.latents(lesson, start, start + CLIP) for lesson, start in chosen])
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
        """() of sequences (B, CLIP, C) made for these clips."""
        targets = clips.targets(indices)
        heard = losses.heard_together(list(targets.values()))
        parts = [losses.normalised(part) for part in sequences]
        if self.plan.pace > 0:
            parts.append(self.plan.pace * losses.normalised(losses.paces(sequences[: len(DEPTHS)])))
        made = torch.cat(parts, dim=2)
        score = partial(losses.procrustes, made=made)
        if self.plan.weights:
            heard_blocks = _blocks([table.shape[2] for table in targets.values()])
            made_blocks = _blocks([part.shape[2] for part in parts])
            weights = weigh(targets, self.plan.weights)
            score = partial(
                losses.pairwise, made=made, heard_blocks=heard_blocks, made_blocks=made_blocks, weights=weights
            )
        loss = 1 - score(heard).mean()
        if self.plan.correction > 0:
            # Beyond a second: nearer by, sound still is what it was.
            shifts = [int(shift) for shift in stream.randint(CLIP // 8, CLIP - CLIP // 8, SHIFTS)]
            loss = loss + self.plan.correction * losses.chance(score, heard, shifts).mean()
        if self.plan.calm > 0:
            ways = torch.stack([losses.variation(part) for part in sequences])
            calm = self.plan.calm * (losses.CALM_OF_PAIRS if self.plan.weights else 1)
            loss = loss + calm * ways.mean()
        return loss

    # The state on disk.

    def _identity(self) -> str:
        return json.dumps({**asdict(self.plan), "examples": None, "music": self.material.digest}, sort_keys=True)

    def keep(self, path: Path) -> None:
        """Write everything that the next step depends on."""
        tensors = {f"network.{name}": tensor for name, tensor in self.network.state_dict().items()}
        for index, state in self.optimiser.state_dict()["state"].items():
            tensors |= {f"optimiser.{index}.{name}": torch.as_tensor(value) for name, value in state.items()}
        tensors["losses"] = torch.tensor(self.curves.learned, dtype=torch.float64)
        held = json.dumps({str(step): value for step, value in self.curves.held.items()})
        content = save(
            {name: tensor.contiguous() for name, tensor in tensors.items()},
            {"plan": self._identity(), "held": held},
        )
        with write_aside(path) as partial:
            partial.write_bytes(content)

    def resume(self, path: Path) -> None:
        """Go on from a state on disk.

        Raises:
            SynthesizerError: it is of another plan or other music, or damaged.
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
    """Train to the end of the plan; with `state`, keep it there from time to time, and go on from it if it is there.

    Raises:
        SynthesizerError: the state on disk is none of this training, or the loss is no number any more.
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
    clips: Clips, indices: NDArray[np.int64], stream: np.random.RandomState, lessons: Sequence[Sequence[Motion]]
) -> list[tuple[Motion, int]]:
    """For each clip one of its song's lessons, and the clip's first frame."""
    return [(lessons[song][stream.randint(len(lessons[song]))], int(start)) for song, start in clips.places[indices]]


def _blocks(widths: Sequence[int]) -> list[slice]:
    edges = np.cumsum([0, *widths])
    return [slice(int(a), int(b)) for a, b in pairwise(edges)]
