"""Training: a step helps, a resumed run is the uninterrupted one, a run is one command."""

from __future__ import annotations

import dataclasses
import json
import re
import shlex
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner
from support import threads

from stylegan_ops import load_generator
from stylegan_ops.layers import GAIN
from training.__main__ import main
from training.embedding import Embedding
from training.pictures import paint_ground
from training.plan import Plan, plans
from training.trainer import Trainer, cropped, distance

TOY = plans()["toy"]
EXACT = torch.float32
"""Precision of tests that are not about bfloat16, which many processors compute slowly."""


def short(*pictures: int) -> Plan:
    """The toy plan with stages of so many pictures."""
    stages = [dataclasses.replace(stage, pictures=n) for stage, n in zip(TOY.stages, pictures, strict=True)]
    return dataclasses.replace(TOY, stages=tuple(stages))


def fit_of(trainer: Trainer) -> float:
    """How far its pictures are from those that are meant, on a batch that it does not learn from."""
    stage = TOY.stages[1]
    random = torch.Generator().manual_seed(99)
    with torch.no_grad():
        batch = trainer.batch(stage, random)
        return float(distance(trainer.generator(batch.ws, batch.noise, 32), batch.target))


def test_one_step_lowers_the_loss() -> None:
    trainer = Trainer(short(0, 8, 0, 0))
    before = fit_of(trainer)
    trainer.step()
    assert fit_of(trainer) < before
    assert trainer.pictures_seen == 8 and trainer.finished


def test_scattered_points_teach_both_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.trainer.WARM_UP", 1)
    trainer = Trainer(short(480, 0, 0, 0), dtype=EXACT)
    layer = trainer.generator.block(64).layers()[0]
    border = layer.weight.detach().clone()
    losses = [trainer.step() for _ in range(60)]
    first, last = losses[:8], losses[-8:]
    changed = (layer.weight.detach() - border).abs().amax((0, 1))
    assert changed[1, 1] > 1e-3
    changed[1, 1] = 0
    assert changed.max() == 0  # a point has no neighbours
    for name in ("fit", "tone", "deep"):
        assert sum(getattr(row, name) for row in last) < sum(getattr(row, name) for row in first)


def test_every_stage_trains_both_networks_where_it_should() -> None:
    trainer = Trainer(short(8, 8, 8, 16))
    judge = {name: value.clone() for name, value in trainer.discriminator.state_dict().items()}

    def judge_moved() -> bool:
        return any((value != judge[name]).any() for name, value in trainer.discriminator.state_dict().items())

    trainer.step()
    trainer.step()
    assert not judge_moved()
    losses = trainer.step()
    assert judge_moved()
    assert losses.real > 0 and losses.fake > 0 and losses.generator > 0 and losses.deep > 0
    trainer.step()
    losses = trainer.step()
    assert losses.real > 0 and losses.fake > 0 and losses.generator > 0
    assert trainer.finished


def test_a_resumed_run_is_the_uninterrupted_one(tmp_path: Path) -> None:
    plan = short(16, 16, 16, 96)  # into the step that straightens paths
    whole = Trainer(plan, dtype=EXACT)
    for _ in range(14):
        whole.step()
    half = Trainer(plan, dtype=EXACT)
    for _ in range(7):
        half.step()
    half.save(tmp_path / "state.pt")
    resumed = Trainer(dataclasses.replace(plan, seed=plan.seed), dtype=EXACT)
    resumed.load(tmp_path / "state.pt")
    for _ in range(7):
        resumed.step()
    assert not list(tmp_path.glob("*.part"))

    def flat(state: object) -> list[torch.Tensor]:
        if isinstance(state, torch.Tensor):
            return [state]
        if isinstance(state, dict):
            return [tensor for value in state.values() for tensor in flat(value)]
        return [torch.tensor(float(state))] if isinstance(state, (int, float)) else []

    first, second = flat(whole.state()), flat(resumed.state())
    assert len(first) == len(second) > 100
    for one, other in zip(first, second, strict=True):
        assert torch.equal(one, other)


def test_every_run_begins_alike() -> None:
    """Whatever the order in which threads add up."""
    embedding = Embedding(64)
    first = embedding.waves(64, 64)
    with threads(2):
        for _ in range(100):
            assert all(map(torch.equal, embedding.waves(64, 64), first))


def test_another_seed_is_another_run() -> None:
    first, second = Trainer(TOY), Trainer(dataclasses.replace(TOY, seed=2))
    assert not torch.equal(first.generator.latents(torch.ones(1, 88)), second.generator.latents(torch.ones(1, 88)))


def test_windows_teach_both_halves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.trainer.WARM_UP", 1)
    stage = dataclasses.replace(TOY.stages[2], pictures=320, adversary=0.0, fit_scale=1)
    trainer = Trainer(dataclasses.replace(TOY, stages=(stage,)), dtype=EXACT)
    losses = [trainer.step() for _ in range(40)]
    for name in ("fit", "deep"):
        assert sum(getattr(row, name) for row in losses[-8:]) < sum(getattr(row, name) for row in losses[:8])


@pytest.mark.parametrize("corners", [0.0, 1.0])
def test_windows_are_parts_of_the_whole_and_those_in_a_corner_show_its_border(
    corners: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.trainer.CORNERS", corners)
    trainer = Trainer(TOY, dtype=EXACT)
    for name, parameter in trainer.generator.named_parameters():
        if name.endswith("noise_strength"):
            parameter.data.fill_(0)
    silence = [torch.zeros(8, 1, 1, 1) for _ in TOY.architecture.convolutions()]
    found = set()
    with torch.no_grad():
        for seed in range(12):
            painted = trainer._windows(TOY.stages[2], torch.Generator().manual_seed(seed))
            assert painted.of is not None and painted.image.shape == painted.target.shape == (8, 3, 32, 32)
            inner = trainer.embedding(paint_ground(painted.of, 16))
            whole = trainer.generator.upper(inner, painted.ws, silence, 32)
            away = torch.stack(
                [
                    (whole[..., y : y + 32, x : x + 32] - painted.image).abs().mean((1, 2, 3))
                    for y in range(0, 33, 4)
                    for x in range(0, 33, 4)
                ]
            )
            if corners:  # all pictures of the batch alike
                away = away.mean(1, keepdim=True)
            assert (away.amin(0) < 0.4 * away.median(0).values).all()
            found |= {(4 * (place // 9), 4 * (place % 9)) for place in away.argmin(0).tolist()}
    if corners:
        assert found == {(y, x) for y in (0, 32) for x in (0, 32)}
    else:
        assert len(found) > 30


def test_the_layers_above_the_seam_begin_with_waves() -> None:
    """Through pairs, ridges and waves: sines of a field of the ground, as they were drawn."""
    embedding = Embedding(256)
    ground = torch.zeros(1, 6, 1, 50)
    ground[0, 0, 0] = torch.linspace(-1.8, 1.8, 50)
    pairs = embedding(ground)[0, :, 0]
    weight, bias = embedding.ridges(256)
    ridges = torch.nn.functional.leaky_relu(weight @ pairs + bias[:, None], 0.2) * GAIN
    weight, bias = embedding.waves(256, 256)
    waves = weight @ ridges + bias[:, None]
    directions = 16
    for index, (frequency, phase) in enumerate([(1.2, 0.0), (1.2, torch.pi / 2), (2.3, 0.0), (2.3, torch.pi / 2)]):
        wanted = torch.sin(frequency * ground[0, 0, 0] + phase)
        for sign, row in ((1, index * directions), (-1, (index + 8) * directions)):
            assert torch.corrcoef(torch.stack([waves[row], sign * wanted]))[0, 1] > 0.97


def test_windows_lie_inside() -> None:
    image = torch.arange(64.0).view(1, 1, 8, 8)
    random = torch.Generator().manual_seed(1)
    seen = {tuple(cropped(image, 6, random)[0, 0, 0, :1].tolist()) for _ in range(60)}
    assert len(seen) == 9
    assert cropped(image, 0, random) is image and cropped(image, 16, random) is image


def test_distance_counts_scales_from_the_finest_on() -> None:
    image = torch.zeros(1, 3, 32, 32)
    checks = torch.ones(1, 3, 32, 32)
    checks[..., ::2] = -1
    assert distance(image, checks) > 0.1
    assert distance(image, checks, 2) == 0


def documented() -> list[str]:
    text = (Path(__file__).parents[2] / "docs" / "lab" / "training.md").read_text("utf-8")
    return re.findall(r"^python -m training (.*)$", text, flags=re.MULTILINE)


@pytest.mark.parametrize("line", documented())
def test_documented_commands_are_understood(line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for given in ("model.safetensors", "figures.json", "limits.md"):
        (tmp_path / given).touch()
    name, *arguments = shlex.split(line, comments=True)
    main.commands[name].make_context(name, arguments)


def test_the_documents_train_export_and_measure() -> None:
    assert {line.split()[0] for line in documented()} >= {"train", "export", "sheet", "measure", "pictures"}


def test_a_run_is_one_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("training.__main__.plans", lambda: {"toy": short(8, 8, 8, 16)})
    folder, model = tmp_path / "run", tmp_path / "model.safetensors"
    runner = CliRunner()
    command = ["train", "--plan", "toy", "--folder", str(folder)]
    for _ in range(6):  # one step a call: every call goes on where the last one stopped
        result = runner.invoke(main, [*command, "--seconds", "0"], catch_exceptions=False)
        assert result.exit_code == 0
    rows = [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]
    assert rows[-1]["pictures"] == 40 and rows[-1]["fake"] > 0
    assert list(folder.glob("sheet-*.png"))
    result = runner.invoke(main, ["export", "--plan", "toy", "--folder", str(folder), "-o", str(model)])
    assert result.exit_code == 0, result.output
    generator = load_generator(model)
    assert generator.img_size == (64, 64) and generator.z_dim == 88
    result = runner.invoke(main, ["sheet", "--model", str(model), "-o", str(tmp_path / "sheet.png")])
    assert result.exit_code == 0 and (tmp_path / "sheet.png").stat().st_size > 10_000
