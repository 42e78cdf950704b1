"""The training program.

python -m training train --plan cpu --folder run
"""

import dataclasses
import json
import math
import time
from pathlib import Path

import click
import torch
from PIL import Image
from torch import Tensor

from audioreactive.generators.builtin import TRUNCATION
from stylegan_ops import Generator, load_generator
from stylegan_ops.checkpoint import Checkpoint, inspect_checkpoint, save_checkpoint
from stylegan_ops.initial import random_state
from stylegan_ops.memory import keep_freed_memory
from training import measure as measurements
from training.card import card
from training.pictures import Z_DIM, meaning, paint
from training.plan import plans
from training.trainer import Losses, Trainer

BUILTIN = Path(__file__).parent.parent / "audioreactive" / "assets" / "builtin.safetensors"


@click.group()
def main() -> None:
    """Train the model that comes with the program, on pictures that it makes itself."""


@main.command()
@click.option("--plan", "plan_name", type=click.Choice(sorted(plans())), default="cpu", show_default=True)
@click.option("--folder", type=click.Path(path_type=Path), default=Path("run"), show_default=True)
@click.option("--device", default="cpu", show_default=True)
@click.option("--every", default=300.0, show_default=True, help="Seconds between checkpoints and sheets.")
@click.option("--seconds", type=float, help="Stop after so long, to go on another time.")
def train(plan_name: str, folder: Path, device: str, every: float, seconds: float | None) -> None:
    """Train, or go on where an earlier run stopped."""
    keep_freed_memory()
    folder.mkdir(parents=True, exist_ok=True)
    trainer = Trainer(plans()[plan_name], device)
    checkpoint = folder / "state.pt"
    if checkpoint.exists():
        trainer.load(checkpoint)
    started = saved = time.monotonic()
    recent: list[Losses] = []
    since = time.monotonic()
    while not trainer.finished:
        before, _, _ = trainer.stage()
        recent.append(trainer.step())
        if trainer.stage()[0] != before:
            trainer.save(folder / f"stage-{before}.pt")
        now = time.monotonic()
        if trainer.step_number % 50 == 0 or trainer.finished:
            index, stage, _ = trainer.stage()
            row: dict[str, float] = {"pictures": trainer.pictures_seen, "stage": index, "resolution": stage.resolution}
            row["pictures_per_s"] = round(len(recent) * stage.batch / (now - since), 2)
            for name in ("fit", "tone", "deep", "generator", "real", "fake", "r1", "path_length"):
                values = [getattr(losses, name) for losses in recent]
                values = [value for value in values if not math.isnan(value)]
                if values:
                    row[name] = round(sum(values) / len(values), 5)
            with (folder / "log.jsonl").open("a", encoding="utf-8") as log:
                log.write(json.dumps(row) + "\n")
            click.echo(json.dumps(row))
            recent, since = [], time.monotonic()
        late = seconds is not None and now - started > seconds
        if now - saved > every or late or trainer.finished:
            trainer.save(checkpoint)
            progress_sheet(trainer, 4, 6).save(folder / f"sheet-{trainer.pictures_seen:08d}.png")
            saved = time.monotonic()
        if late:
            break


@main.command()
@click.option("--folder", type=click.Path(path_type=Path), default=Path("run"), show_default=True)
@click.option("--plan", "plan_name", type=click.Choice(sorted(plans())), default="cpu", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=BUILTIN, show_default=True)
def export(folder: Path, plan_name: str, output: Path) -> None:
    """Write the averaged weights as a model file, in half precision."""
    trainer = Trainer(plans()[plan_name])
    trainer.load(folder / "state.pt")
    state = {name: tensor.float() for name, tensor in trainer.average.state_dict().items()}
    made = f"plan {plan_name}, {trainer.pictures_seen} pictures"
    note = f"The built-in model of audioreactive: {made}; CC0, free for any use."
    save_checkpoint(Checkpoint("trained", trainer.plan.architecture, state, note, ()), output, dtype=torch.float16)
    click.echo(f"{output}: {output.stat().st_size / 1e6:.1f} MB")


@main.command()
@click.option("--model", type=click.Path(path_type=Path, exists=True), default=BUILTIN, show_default=True)
@click.option("--truncation", default=TRUNCATION, show_default=True)
@click.option("--count", default=1024, show_default=True, help="Samples and training pictures to compare.")
@click.option("--json", "json_path", type=click.Path(path_type=Path), help="Write the figures here.")
def measure(model: Path, truncation: float, count: int, json_path: Path | None) -> None:
    """Measure a model against the training pictures, as in its model card."""
    keep_freed_memory()
    generator = load_generator(model)
    assert isinstance(generator, Generator), "the figures are those of a StyleGAN2"
    untrained = Generator(generator.architecture, random_state(generator.architecture, seed=0))
    figures = measurements.measure(generator, untrained, truncation=truncation, count=count).as_json()
    figures |= {"truncation": truncation, "count": count}
    text = json.dumps(figures, indent=2)
    click.echo(text)
    if json_path:
        json_path.write_text(text + "\n", "utf-8")


@main.command("card")
@click.option("--model", type=click.Path(path_type=Path, exists=True), default=BUILTIN, show_default=True)
@click.option("--figures", type=click.Path(path_type=Path, exists=True), required=True, help="What `measure` wrote.")
@click.option(
    "--limits", type=click.Path(path_type=Path, exists=True), required=True, help="What falls short, in words."
)
@click.option("--plan", "plan_name", type=click.Choice(sorted(plans())), default="cpu", show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=BUILTIN.with_suffix(".md"), show_default=True)
def write_card(model: Path, figures: Path, limits: Path, plan_name: str, output: Path) -> None:
    """Write a model's card: what it is, where it comes from, how good it is."""
    plan = plans()[plan_name]
    text = card(
        inspect_checkpoint(model),
        json.loads(figures.read_text("utf-8")),
        plan=plan_name,
        pictures=plan.pictures,
        seed=plan.seed,
        size=model.stat().st_size,
        limits=limits.read_text("utf-8"),
    )
    output.write_text(text, "utf-8")
    click.echo(str(output))


@main.command()
@click.option(
    "--model", type=click.Path(path_type=Path, exists=True), help="Samples of a model; else training pictures."
)
@click.option("--truncation", default=0.8, show_default=True)
@click.option("--seed", default=0, show_default=True)
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("sheet.png"), show_default=True)
def sheet(model: Path, truncation: float, seed: int, output: Path) -> None:
    """Lay out 64 random samples of a model."""
    keep_freed_memory()
    random = torch.Generator().manual_seed(seed)
    generator = load_generator(model)
    assert isinstance(generator, Generator), "the samples are those of a StyleGAN2"
    images = torch.cat([measurements.sampled(generator, 8, truncation, random) for _ in range(8)])
    tiled(images, 8).save(output)


@main.command()
@click.option("--seed", default=0, show_default=True)
@click.option("--size", type=click.IntRange(64, 1024), default=256, show_default=True, help="Of one picture.")
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("pictures.png"), show_default=True)
def pictures(seed: int, size: int, output: Path) -> None:
    """Lay out 64 random training pictures."""
    keep_freed_memory()
    random = torch.Generator().manual_seed(seed)
    resolutions = [4 << index for index in range(size.bit_length() - 2)]
    sides = [side for side in resolutions for _ in range(1 if side == 4 else 2)]
    images = []
    for _ in range(8):
        z = torch.randn(8, Z_DIM, generator=random)
        noise = [torch.randn(8, 1, side, side, generator=random) for side in sides]
        images.append(paint(meaning(z, z, z), noise, (size, size)))
    tiled(torch.cat(images), 8).save(output)


def progress_sheet(trainer: Trainer, rows: int, columns: int) -> Image.Image:
    """Targets and results of the averaged weights, in turn."""
    _, stage, _ = trainer.stage()
    if not stage.resolution or stage.cells:
        stage = dataclasses.replace(stage, resolution=trainer.plan.architecture.img_resolution)
    random = torch.Generator(trainer.device).manual_seed(7)
    size = rows * columns
    with torch.no_grad():
        now, trainer.generator = trainer.generator, trainer.average
        batch = trainer.batch(stage, random, size)
        image = trainer.generator(batch.ws, batch.noise, stage.resolution)
        trainer.generator = now
    both = torch.stack([batch.target, image], 1).flatten(0, 1)
    return tiled(both, 2 * columns)


def tiled(images: Tensor, columns: int) -> Image.Image:
    """Pictures (N, 3, h, w) in [-1, 1] -> one, row by row."""
    rows = [torch.cat(list(row), 2) for row in torch.split(images, columns)]
    picture = torch.cat(rows, 1)
    return Image.fromarray(((picture + 1) * 127.5).round().clamp(0, 255).byte().permute(1, 2, 0).cpu().numpy())


if __name__ == "__main__":
    main()
