"""Changes to inputs that keep what a checksum, a length or a grammar would refuse at once.

A mutator takes the input, a stream of random numbers and a function that changes plain bytes (libFuzzer's, or
`change_bytes`), and gives another input.
"""

from __future__ import annotations

import contextlib
import io
import json
import math
import pickletools
import re
import struct
import zipfile
import zlib
from collections.abc import Callable
from functools import partial
from itertools import pairwise
from random import Random
from typing import Any, Final

import torch
from safetensors.torch import save

from audioreactive.codec.container import archive_bytes
from audioreactive.features.names import FEATURES, SEGMENTABLE, SOURCES
from fuzz import seeds
from fuzz.arguments import mutate_arguments
from fuzz.folders import mutate_folder
from stylegan_ops.architecture import Architecture
from stylegan_ops.containers import NVIDIA_NAMES
from stylegan_ops.records import PLAIN_NAMES, TENSOR_NAMES

Change = Callable[[bytes], bytes]
Mutator = Callable[[bytes, Random, Change], bytes]

NUMBERS: Final = (
    0, 1, -1, 2, 3, 4, 7, 8, 127, 128, 255, 256, 1000, 4095, 4096, 32767, 65535, 65536, 2**24, 2**31 - 1, 2**31,
    2**32 - 1, 2**32, 2**40, 2**61 - 1, 2**62, 2**63 - 1, 2**63, 2**64 - 1, 2**64,
)  # fmt: skip
"""Where counters overflow, and what headers lie with."""

_DECIMALS: Final = (
    "0.0",
    "-0.0",
    "1e-320",
    "1e-9",
    "0.001",
    "0.5",
    "1.0",
    "2.0",
    "1e9",
    "1e308",
    "1e999",
    "nan",
    "inf",
)
_KEYS: Final = (
    "schema", "name", "about", "palette", "seeds", "truncation", "label", "latents", "base", "vividness", "sequences",
    "strategy", "vectors", "fields", "envelope", "feature", "contrast", "release", "smooth", "depth", "merge",
    "modulator", "synthesizers", "synthesizer", "kind", "motion_seed", "coefficients", "steps", "correction", "calm",
    "weights", "levels", "intensity", "bars", "seconds", "k", "noise", "strength", "amplitude", "low", "high", "slow",
    "fast", "sigma", "render", "fps", "size", "fit", "made_with", "program", "model", "seed",
)  # fmt: skip
_WORDS: Final = (
    "loop", "feature", "segmentation", "blend", "average", "modulate", "coarse", "middle", "fine",
    "deep", "shallow", "24000/1001", "1x1",
    "widen", "pad", "synthesizer", "hippo", "trained", "../../etc/passwd", "\\u001b[2J", "\\u202e", "\\ud800", "",
    "x" * 300, *FEATURES, *SEGMENTABLE, *(f"{source}.rms" for source in SOURCES), "a.b.rms",
)  # fmt: skip
_TOML_TOKENS: Final = re.compile(r'"(?:[^"\\\n]|\\.)*"|[A-Za-z_][\w-]*|[+-]?[0-9][\w.+-]*|\s+|[^\w\s]')


def change_bytes(data: bytes, draw: Random) -> bytes:
    """A few bytes replaced, taken out, doubled or put in: what libFuzzer does, for tests that run without it."""
    changed = bytearray(data)
    for _ in range(draw.choice((1, 1, 2, 4, 8))):
        place = draw.randrange(len(changed) + 1)
        match draw.randrange(4):
            case 0:
                changed[place : place + 1] = bytes([draw.randrange(256)])
            case 1:
                del changed[place : place + draw.choice((1, 2, 8, 100))]
            case 2:
                changed[place:place] = changed[place : place + draw.choice((1, 4, 30))]
            case _:
                changed[place:place] = draw.randbytes(draw.choice((1, 2, 4)))
    return bytes(changed)


# Presets: by the tokens and the lines of TOML.


def mutate_preset(data: bytes, draw: Random, change: Change) -> bytes:
    """Other values, other keys, lines moved; now and then any bytes."""
    if draw.random() < 0.2:
        return change(data)
    text = data.decode(errors="replace")
    for _ in range(draw.choice((1, 1, 2, 3, 6))):
        text = _change_line(text, draw) if draw.random() < 0.3 else _change_token(text, draw)
    return text.encode(errors="replace")


def _change_token(text: str, draw: Random) -> str:
    tokens = _TOML_TOKENS.findall(text)
    places = [i for i, token in enumerate(tokens) if not token.isspace()]
    if not places:
        return "schema = 1\n"
    place = draw.choice(places)
    token = tokens[place]
    match draw.randrange(6):
        case 0:
            tokens[place] = ""
        case 1:
            tokens[place] = token + " " + token
        case 2:
            tokens[place] = tokens[draw.choice(places)]
        case _:
            tokens[place] = _another(token, draw)
    return "".join(tokens)


def _another(token: str, draw: Random) -> str:
    """Something else of the token's kind, mostly."""
    if draw.random() < 0.15:
        return draw.choice(
            ("[", "]", "{", "}", "=", ",", ".", "\n", "[[", "]]", '"""', "'''", "true", "1979-05-27", "0x" + "f" * 80)
        )
    if token[:1] == '"':
        return f'"{draw.choice(_WORDS)}"'
    if token[:1].isalpha():
        return draw.choice(_KEYS)
    if token[:1].isdigit() or token[:1] in "+-":
        return draw.choice((str(draw.choice(NUMBERS)), draw.choice(_DECIMALS), str(draw.randrange(40))))
    return draw.choice((token * 2, f"{draw.choice(_KEYS)}.", f", {draw.choice(_KEYS)} = 1", "[", "]"))


def _change_line(text: str, draw: Random) -> str:
    lines = text.split("\n")
    place, other = draw.randrange(len(lines)), draw.randrange(len(lines))
    match draw.randrange(4):
        case 0:
            del lines[place]
        case 1:
            lines[place:place] = lines[place : place + draw.choice((1, 1, 3, 8))]
        case 2:
            lines[place], lines[other] = lines[other], lines[place]
        case _:
            lines.insert(place, f"{draw.choice(_KEYS)} = {draw.choice((*_DECIMALS, *map(str, NUMBERS)))}")
    return "\n".join(lines)


# Models: by the instructions of pickles, the entries of archives, the header of safetensors.


def mutate_model(data: bytes, draw: Random, change: Change) -> bytes:
    """What fits the container that the file is; now and then another network of any size."""
    if draw.random() < 0.1:
        return _another_network(draw)
    if draw.random() < 0.2:
        return change(data)
    try:
        if data[:2] == b"PK":
            return _change_archive(data, draw, change)
        if data[:1] == b"\x80":
            return _change_pickles(data, draw)
        if data[8:9] == b"{":
            return _change_safetensors(data, draw, change)
    except (
        ValueError,
        LookupError,
        TypeError,
        AttributeError,
        struct.error,
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OverflowError,
        RuntimeError,
    ):
        pass  # an earlier change has left no such container, or something else in it
    return change(data)


_SIZES: Final = (1, 1, 1, 2, 2, 3, 4, 5, 7, 8, 0)


def _another_network(draw: Random) -> bytes:
    """A network of small and odd sizes in one of the formats, with a tensor or two that do not belong."""
    size = partial(draw.choice, _SIZES)
    w_dim, blocks = size(), draw.choice((2, 2, 2, 3, 1))
    architecture = Architecture(
        z_dim=size(), w_dim=w_dim, mapping_features=(*(size() for _ in range(draw.randrange(3))), w_dim),
        channels=tuple(size() for _ in range(blocks)), c_dim=draw.choice((0, 0, 1, 3)), embed_features=size(),
        kind=draw.choice(("skip", "skip", "resnet", "orig")), const_size=(size(), size()),
    )  # fmt: skip
    numbers = torch.Generator().manual_seed(draw.getrandbits(32))
    state = {name: torch.randn(shape, generator=numbers) for name, shape in architecture.shapes().items()}
    for _ in range(draw.choice((0, 0, 1, 2))):
        name = draw.choice(list(state))
        match draw.randrange(5):
            case 0:
                del state[name]
            case 1:
                value = draw.choice((0.0, 1e38, -1e-38, math.nan, math.inf))
                state[name] = torch.full(state[name].shape, value)
            case 2:
                state[name] = torch.zeros(tuple(size() for _ in range(draw.randrange(5))))
            case 3:
                state[name] = state[name].to(draw.choice((torch.float16, torch.complex64, torch.int8, torch.bfloat16)))
            case _:
                state[draw.choice(list(state))] = state[name]
    return _written(state, draw)


def _written(state: dict[str, torch.Tensor], draw: Random) -> bytes:
    buffer = io.BytesIO()
    match draw.randrange(4):
        case 0:
            return save({name: tensor.contiguous().clone() for name, tensor in state.items()})
        case 1:
            return seeds.nvidia(state)
        case 2 if "synthesis.b8.torgb.weight" in state:
            with contextlib.suppress(KeyError, RuntimeError):  # of a tensor that is missing, or of another size
                torch.save(seeds.rosinality(state), buffer, _use_new_zipfile_serialization=draw.random() < 0.5)
                return buffer.getvalue()
    prefix = draw.choice(("", "module.", "G_ema.", "decoder.", "a.b.c."))
    named = {prefix + name: tensor for name, tensor in state.items()}
    torch.save(draw.choice((named, {"state_dict": named})), buffer)
    return buffer.getvalue()


def _change_archive(data: bytes, draw: Random, change: Change) -> bytes:
    """Another pickle or another storage in an archive that is whole, or other numbers in its directory."""
    if draw.random() < 0.25:
        start = max(data.rfind(b"PK\1\2", 0, len(data) - 4), 0) if draw.random() < 0.5 else max(len(data) - 100, 0)
        return data[:start] + _change_number(data[start:], draw)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    pickles = [name for name in entries if name.endswith("data.pkl")]
    name = pickles[0] if pickles and draw.random() < 0.7 else draw.choice(list(entries))
    match draw.randrange(8):
        case 0:
            del entries[name]
        case 1:
            entries[draw.choice(("m/data.pkl", "m/data/0", "../x", "m/byteorder", "a/constants.pkl"))] = entries[name]
        case 2:
            entries[name] = change(entries[name])
        case _:
            entries[name] = _change_pickles(entries[name], draw) if name in pickles else change(entries[name])
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for key, content in entries.items():
            archive.writestr(key, content)
    return buffer.getvalue()


_NAMES: Final = (
    *sorted({*PLAIN_NAMES, *TENSOR_NAMES, *NVIDIA_NAMES}),
    "os.system", "builtins.eval", "builtins.getattr", "torch.load", "numpy.load", "operator.attrgetter",
)  # fmt: skip
_PIECES: Final = (
    b"]", b"}", b")", b"(", b"N", b"\x88", b"0", b"1", b"2", b"R", b"b", b"\x81", b"\x92", b"Q", b"a", b"e", b"s", b"u",
    b"t", b"d", b"l", b"\x85", b"\x86", b"\x87", b"\x8f", b"\x90", b"\x91", b"\x93", b"\x94", b"\x97", b"\x98",
    b"h\0", b"h\1",
    b"h\5", b"q\0", b"q\1", b"r\xff\xff\xff\xff", b"j\0\0\0\0", b"\x82\1", b"(ios\nsystem\n", b"G\x7f\xf8\0\0\0\0\0\0",
    b".",
    b"\x8a\x20" + b"\x7f" * 32, b"\x8b\xff\xff\xff\x7f",
    b"X\xff\xff\xff\x7f", b"\x8e" + b"\xff" * 8,
    b"P0\n", b"I01\n", b"F1\n",
)  # fmt: skip


def _change_pickles(data: bytes, draw: Random) -> bytes:
    pieces = _instructions(data)
    for _ in range(draw.choice((1, 1, 1, 2, 4))):
        place = draw.randrange(len(pieces))
        match draw.randrange(8):
            case 0:
                del pieces[place]
            case 1:
                pieces[place:place] = pieces[place : place + draw.choice((1, 2, 6, 30))]
            case 2:
                other = draw.randrange(len(pieces))
                pieces[place], pieces[other] = pieces[other], pieces[place]
            case 3:
                pieces.insert(place, draw.choice(_PIECES))
            case _:
                pieces[place] = _other_argument(pieces[place], draw)
        if not pieces:
            break
    return b"".join(pieces)


def _instructions(data: bytes) -> list[bytes]:
    """The instructions of the pickles at the beginning, each with its argument; then the rest in one piece."""
    stream, ends = io.BytesIO(data), [0]
    try:
        while data[ends[-1] : ends[-1] + 1]:
            for _, _, position in pickletools.genops(stream):
                assert position is not None
                if position > ends[-1]:
                    ends.append(position)
            ends.append(stream.tell())
    except Exception:  # whatever it thinks of what is left
        pass
    ends.append(len(data))
    pieces = [data[start:stop] for start, stop in pairwise(ends) if stop > start]
    return pieces or [b"."]


def _other_argument(piece: bytes, draw: Random) -> bytes:
    code = piece[:1]
    if code in b"KMJ\x8a":
        number = draw.choice(NUMBERS)
        return b"\x8a\x0a" + number.to_bytes(10, "little", signed=True)
    if code == b"c":
        module, _, name = draw.choice(_NAMES).rpartition(".")
        return f"c{module}\n{name}\n".encode()
    if code in b"XUT\x8c":
        text = draw.choice(
            ("", "g_ema", "G_ema", "state", "_modules", "variables", "resample_kernel", "<f4", "O8", "x" * 99)
        ).encode()
        return b"X" + len(text).to_bytes(4, "little") + text
    if code in b"hq":
        return code + bytes([draw.randrange(60)])
    return piece + draw.choice(_PIECES) if code in b"R).]}" else draw.choice(_PIECES)


def _change_safetensors(data: bytes, draw: Random, change: Change) -> bytes:
    length = int.from_bytes(data[:8], "little")
    header, content = json.loads(data[8 : 8 + length]), data[8 + length :]
    match draw.randrange(6):
        case 0:
            content = change(content)
        case 1:
            described = header.get("__metadata__", {})
            key = draw.choice([*described, "stylegan2"])
            described[key] = json.dumps(_change_tree(json.loads(described.get(key, "{}")), draw))
            header["__metadata__"] = described
        case 2:
            name = draw.choice(list(header))
            header[draw.choice(list(header))] = header.pop(name)
        case _:
            header = _change_tree(header, draw)
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + content


def _change_tree(node: Any, draw: Random) -> Any:
    """The tree with one of its nodes changed."""
    if isinstance(node, dict) and node and draw.random() < 0.9:
        key = draw.choice(list(node))
        changed = {**node, key: _change_tree(node[key], draw)}
        if draw.random() < 0.05:
            del changed[key]
        return changed
    if isinstance(node, list) and node and draw.random() < 0.8:
        place = draw.randrange(len(node))
        return [*node[:place], _change_tree(node[place], draw), *node[place + draw.choice((0, 1, 1, 1)) :]]
    return draw.choice(
        (
            *NUMBERS,
            "F16",
            "BF16",
            "F64",
            "F8_E8M0",
            "F4",
            "U8",
            "C64",
            "skip",
            "resnet",
            "orig",
            None,
            True,
            [],
            {},
            [node],
            1e308,
            0.5,
        )
    )


# Sounds and videos: by the numbers of their headers.


def mutate_media(data: bytes, draw: Random, change: Change) -> bytes:
    """Numbers in the first kilobyte or anywhere, in both orders of bytes; two joined; the end cut off; any bytes."""
    if draw.random() < 0.3:
        return change(data)
    for _ in range(draw.choice((1, 1, 2, 4))):
        data = _change_number(data, draw)
    if draw.random() < 0.05:
        data += _change_number(data, draw)
    return data[: draw.randrange(len(data) + 1)] if draw.random() < 0.1 else data


def _change_number(data: bytes, draw: Random) -> bytes:
    size = draw.choice((1, 2, 4, 4, 4, 8))
    number = draw.choice(NUMBERS) & ((1 << 8 * size) - 1)
    reach = len(data) if draw.random() < 0.3 else min(len(data), 1024)
    place = draw.randrange(max(reach, 1))
    return data[:place] + number.to_bytes(size, draw.choice(("little", "big"))) + data[place + size :]


def mutate_clip(data: bytes, draw: Random, change: Change) -> bytes:
    """Another header, or other sections, with digests and sizes that fit; now and then any bytes."""
    if draw.random() < 0.1:
        return change(data)
    try:
        length = int.from_bytes(data[12:16], "little")
        header, at = json.loads(data[48 : 48 + length]), 48 + length
        sections = {}
        for section in header.pop("sections"):
            sections[section["name"]] = data[at : at + section["bytes"]]
            at += section["bytes"]
        if draw.random() < 0.5:
            header = _change_tree(header, draw)
        if sections and draw.random() < 0.7:
            name = draw.choice(list(sections))
            sections[name] = _change_number(sections[name], draw) if draw.random() < 0.3 else change(sections[name])
        return archive_bytes(header, sections)
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return change(data)  # an earlier change has left no such file


def mutate_metadata(data: bytes, draw: Random, change: Change) -> bytes:
    """The folder's two texts, each by its own rules."""
    info, nul, preset = data.partition(b"\0")
    if draw.random() < 0.2:
        return change(data)
    if draw.random() < 0.3:
        return info + nul + mutate_preset(preset, draw, change)
    try:
        return json.dumps(_change_tree(json.loads(info), draw)).encode() + nul + preset
    except (ValueError, RecursionError):
        return change(data)


def mutate_film(data: bytes, draw: Random, change: Change) -> bytes:
    """A folder's two texts, or a video's bytes."""
    return (mutate_metadata if data.startswith(b"{") else mutate_media)(data, draw, change)


MUTATORS: Final[dict[str, Mutator]] = {
    "presets": mutate_preset,
    "models": mutate_model,
    "synthesizers": mutate_model,
    "latents": mutate_model,
    "audio": mutate_media,
    "videos": mutate_media,
    "clips": mutate_clip,
    "metadata": mutate_metadata,
    "sync": mutate_film,
    "folders": mutate_folder,
    "arguments": mutate_arguments,
}
