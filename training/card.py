"""The model card: what a model is, where it comes from, how good it is, in one page made from the measurements."""

from typing import Any

from stylegan_ops.info import ModelInfo

_CARD = """\
# The built-in model

A StyleGAN2 that paints abstract pictures, {width} × {height}, for music videos. Made by this project from pictures
that a program paints; `docs/lab/training.md` says how.

| | |
|---|---|
| Licence | CC0 1.0: free for any use, no credit needed |
| Data | {pictures} pictures, painted by `training/pictures.py` while it learned; none by people |
| Run | `python -m training train --plan {plan}`, seed {seed} |
| Architecture | StyleGAN2, skip generator, {parameters:.1f} million parameters, channels {channels} |
| Latents | z {z_dim}, w {w_dim}, {num_ws} inputs: structure (coarse), matter (middle), colour (fine) |
| File | safetensors, half precision, {size:.1f} MB |

## Measured

By `python -m training measure`, at truncation {truncation}, with {count} samples; features are fixed filters
(`training/measure.py`), so figures compare with one another, not with those of other papers.

| figure | value | to compare |
|---|---|---|
| Diversity: mean distance of two samples, over that of two training pictures | {diversity:.2f} | 1 is as diverse |
| The same in pixels | {diversity_pixels:.2f} | 1 |
| Closest two of 64 samples, over those of 64 training pictures | {closest_pair:.2f} | near 0 if samples repeat |
| Fréchet distance to training pictures | {frechet:.1f} | untrained {frechet_untrained:.0f}; data {frechet_floor:.1f} |
| Mean change a frame in a walk between samples in 48 frames, of 255 | {step:.2f} | |
| Largest change a frame over the mean of its walk | {largest_step:.2f} | 1 is perfectly even |

What each depth group changes when it alone is drawn anew, and noise likewise. Coarse: details of 32 pixels and more;
fine: below 8. Kept: correlation of the drawing (lightness) before and after.

| | change, of 255 | coarse | medium | fine | colour's share | drawing kept |
|---|---|---|---|---|---|---|
{shares}

## Limits

{limits}
"""


def card(
    info: ModelInfo, figures: dict[str, Any], *, plan: str, pictures: int, seed: int, size: int, limits: str
) -> str:
    """The page in Markdown.

    Args:
        info: of the model file.
        figures: what `measure` wrote.
        plan: name of the training run.
        pictures: how many pictures it took.
        seed: of the run.
        size: of the file, in bytes.
        limits: what falls short, in sentences.
    """
    rows = [
        f"| {name} | {row['change']:.1f} | {row['coarse']:.0%} | {row['medium']:.0%} | {row['fine']:.0%} "
        f"| {row['colour']:.0%} | {row['kept']:.2f} |"
        for name, row in figures["shares"].items()
    ]
    return _CARD.format(
        **{key: value for key, value in figures.items() if key != "shares"},
        shares="\n".join(rows),
        width=info.img_size[1],
        height=info.img_size[0],
        pictures=f"{pictures:,}".replace(",", " "),
        plan=plan,
        seed=seed,
        parameters=info.parameters / 1e6,
        channels=", ".join(str(channels) for channels in info.channels.values()),
        z_dim=info.z_dim,
        w_dim=info.w_dim,
        num_ws=info.num_ws,
        size=size / 1e6,
        limits=limits.strip(),
    )
