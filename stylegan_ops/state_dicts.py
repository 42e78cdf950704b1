"""State dicts in any wrapping: rosinality's generator and the many files that hold one, and NVIDIA's names.

Forks and encoders write the same network in many ways: under `g_ema`, `state_dict`, `params_ema`; with `module.`,
`decoder.` or `generator.` before every name; among encoders, discriminators and optimisers. All of a file's tensors are
therefore laid out under one path each ("state_dict.decoder.style.1.weight"). Wherever a path ends in the name of a
learned constant, what stands before is a prefix, and all tensors under that prefix are a candidate for a generator. The
candidates are ordered, averaged weights first.

Source: the names of https://github.com/rosinality/stylegan2-pytorch.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from stylegan_ops.drafts import AS_IT_IS, MAX_TENSORS, Draft, Layout, Source, Stored, clean, shown
from stylegan_ops.errors import CheckpointError
from stylegan_ops.pickles import refuse_unknown_names
from stylegan_ops.records import ArrayRecord, TensorRecord
from stylegan_ops.relatives import UNSUPPORTED, refuse_relatives, refuse_steered

MAX_NODES = 50_000
"""Most entries of all dicts in a file that are read; a training file with optimisers has a tenth of that."""
MAX_DEPTH = 6
"""Most levels of nested dicts."""
LONGEST_NAME = 200
"""Most characters of a key; all tensors of networks have shorter ones."""
MAX_CANDIDATES = 8
"""Most generators of one file that are tried."""

AVERAGES = ("latent_avg", "w_avg", "dlatent_avg", "mean_latent", "latent_mean")
"""Common names of a mean latent stored beside a network."""

ROSINALITY, NVIDIA, ALIAS_FREE = "input.input", "synthesis.b4.const", "synthesis.input.freqs"
"""The learned constant, or the frequencies of a StyleGAN3's input, by which a generator is found."""


def state_dict_drafts(root: object, unknown: Iterable[str] = ()) -> Iterator[Draft]:
    """The generators in a dict of tensors, or of such dicts, from the likeliest to the least.

    Args:
        root: what the file holds.
        unknown: names in the file that stand for nothing here; where there is no generator, they say more.

    Raises:
        CheckpointError: there is none, but tensors of another network.
    """
    if not isinstance(root, dict):
        return
    tensors = flattened(root)
    yield from drafts_of_tensors(tensors, note=own_note(root))
    if tensors and not _candidates(tensors):
        refuse_unknown_names(unknown)
        shown_keys = listed(tensors if set(tensors) <= set(root) else root)
        raise CheckpointError(f"the file holds {shown_keys}, no StyleGAN2 generator; {UNSUPPORTED}")


def drafts_of_tensors(tensors: Mapping[str, Stored], *, note: str | None = None) -> Iterator[Draft]:
    """The generators among tensors, by their paths, one at a time; the caller asks for the next if one is incomplete.

    Raises:
        CheckpointError: there is none, and the tensors are those of a known relative.
    """
    refuse_steered(tensors)
    candidates = _candidates(tensors)
    for prefix, anchor in candidates:
        inside = {name.removeprefix(prefix): stored for name, stored in tensors.items() if name.startswith(prefix)}
        if len(inside) > MAX_TENSORS:
            raise CheckpointError(f"it holds {len(inside)} tensors, more than any StyleGAN2: another network")
        draft = _rosinality(inside) if anchor == ROSINALITY else _nvidia(inside)
        if anchor == ALIAS_FREE:
            draft.network, draft.format = "stylegan3", "StyleGAN3 state dict"
        draft.average = _average(prefix, tensors)
        draft.note = note
        if _rank(prefix) == _IN_TRAINING:
            draft.warnings.append("there is no averaged generator (g_ema); the one in training (g) is used")
        yield draft
    refuse_relatives(tensors, parts=not candidates)


def flattened(root: dict[object, object]) -> dict[str, Stored]:
    """The tensors in a dict and the dicts in it, by the keys on the way with dots between them."""
    tensors: dict[str, Stored] = {}
    pending: list[tuple[str, dict[object, object], int]] = [("", root, 0)]
    seen = 0
    while pending:
        prefix, node, depth = pending.pop()
        seen += 1 + len(node)
        if seen > MAX_NODES:
            raise CheckpointError(f"it holds more than {MAX_NODES} entries, as no model does; it may be hostile")
        for key, value in node.items():
            if not isinstance(key, str) or len(key) > LONGEST_NAME:
                continue
            if isinstance(value, TensorRecord | ArrayRecord):
                tensors[prefix + key] = value
            elif isinstance(value, dict) and depth < MAX_DEPTH:
                pending.append((f"{prefix}{key}.", value, depth + 1))
    return tensors


# Which of the dicts is the generator.


_AVERAGED, _NAMED, _PLAIN, _IN_TRAINING, _FROZEN = range(5)


def _rank(prefix: str) -> int:
    """How likely the network under a prefix is the one that people mean; less is likelier."""
    parts = prefix.lower().split(".")
    if any("frozen" in part for part in parts):  # what a fine-tuning began with
        return _FROZEN
    if any(re.search(r"(?:^|_)ema(?:_|$)|running|smooth|averag", part) for part in parts):
        return _AVERAGED
    if "g" in parts:
        return _IN_TRAINING
    return _NAMED if any(re.search(r"^(?:decoder|generator)", part) for part in parts) else _PLAIN


def _candidates(tensors: Mapping[str, Stored]) -> list[tuple[str, str]]:
    """(prefix, anchor) of each generator, in the order in which they are to be tried."""
    found = [
        (name.removesuffix(anchor), anchor)
        for name in tensors
        for anchor in (ROSINALITY, NVIDIA, ALIAS_FREE)
        if name == anchor or name.endswith(f".{anchor}")
    ]
    return sorted(found, key=lambda candidate: _rank(candidate[0]))[:MAX_CANDIDATES]


def _average(prefix: str, tensors: Mapping[str, Stored]) -> Stored | None:
    """The mean latent beside the network, or beside the dict that the network lies in."""
    parts = prefix.split(".")[:-1]
    for count in range(len(parts), -1, -1):
        above = "".join(f"{part}." for part in parts[:count])
        for name in AVERAGES:
            if (stored := tensors.get(above + name)) is not None:
                return stored
    return None


# From the names in the file to ours.


_ROSINALITY_LAYER = {
    "conv.weight": "weight",
    "conv.modulation.weight": "affine.weight",
    "conv.modulation.bias": "affine.bias",
    "activate.bias": "bias",
    "bias": "bias",
    "noise.weight": "noise_strength",
}


def _rosinality(tensors: Mapping[str, Stored]) -> Draft:
    draft = Draft("rosinality PyTorch file")
    for name, stored in tensors.items():
        if name in AVERAGES:
            continue
        if name.endswith(("blur.kernel", "upsample.kernel")):
            draft.filters.append(Source(stored))
        elif (target := _rosinality_name(name)) is not None:
            draft.sources[target] = Source(stored, _layout(target))
        else:
            draft.sources[name] = Source(stored)  # the check of names will speak of it
    return draft


def _nvidia(tensors: Mapping[str, Stored]) -> Draft:
    draft = Draft("StyleGAN2 state dict")
    for name, stored in tensors.items():
        if name.endswith(".resample_filter"):
            draft.filters.append(Source(stored))
        elif name not in AVERAGES:
            draft.sources[name] = Source(stored)
    return draft


def _rosinality_name(name: str) -> str | None:
    """The common name of one of its tensors."""
    if name == ROSINALITY:
        return NVIDIA
    if found := re.fullmatch(r"style\.(\d{1,2})\.(weight|bias)", name):
        return f"mapping.fc{int(found[1]) - 1}.{found[2]}"
    if found := re.fullmatch(r"noises\.noise_(\d{1,2})", name):
        return f"synthesis.{layer_name(int(found[1]))}.noise_const"
    if not (found := re.fullmatch(r"(?:(conv1|to_rgb1)|(convs|to_rgbs)\.(\d{1,2}))\.(.+)", name)):
        return None
    parameter = _ROSINALITY_LAYER.get(found[4])
    if parameter is None:
        return None
    if found[1]:
        layer = "b4.conv1" if found[1] == "conv1" else "b4.torgb"
    elif found[2] == "convs":
        layer = layer_name(int(found[3]) + 1)
    else:
        layer = f"b{8 << int(found[3])}.torgb"
    return f"synthesis.{layer}.{parameter}"


def layer_name(index: int) -> str:
    """The layer that takes this noise map: b4.conv1, b8.conv0, b8.conv1, b16.conv0, ..."""
    return f"b{4 << (index + 1) // 2}.conv{(index + 1) % 2}"


def _layout(name: str) -> Layout:
    """The axes of length 1 that rosinality's tensors have and ours have not."""
    for endings, layout in _UNIT_AXES:
        if name.endswith(endings):
            return layout
    return AS_IT_IS


_UNIT_AXES = (
    ((".const", ".conv0.weight", ".conv1.weight", ".torgb.weight"), Layout(unit_axes=1)),
    ((".noise_const",), Layout(unit_axes=2)),
    ((".noise_strength",), Layout(flat=True)),
    ((".torgb.bias",), Layout(flat=True)),
)


# What a file says of itself.


def own_note(root: Mapping[Any, object]) -> str | None:
    """Text in the file about its licence or origin."""
    for key in ("license", "licence", "note", "description"):
        if isinstance(text := root.get(key), str) and text.strip():
            return clean(text)
    return None


def listed(root: Mapping[Any, object]) -> str:
    """The first keys of a dict."""
    return ", ".join(shown(key) for key in list(root)[:5]) or "nothing"
