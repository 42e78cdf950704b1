"""How long do files take that were made to keep the computer busy, and how much memory?

    python benchmarks/hostile_time.py                 model files of 64 MB, presets of the largest size
    python benchmarks/hostile_time.py --megabytes 8 [--json FILE]

Each file is read in a process of its own that has read a small one before. Seconds are the processor's; memory is what
the process held at most beyond what it held before, the file's own pages included. A refusal may take 2 s and 300 MB.
The tests count work instead (`tests/hostile`): counts are the same on every machine.
"""

from __future__ import annotations

import argparse
import io
import json
import math
import resource
import struct
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import OrderedDict
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors.torch import save_file

from audioreactive.errors import AudioReactiveError
from audioreactive.patches.presets import LARGEST_PRESET, MOST_VALUES, parse_preset
from fuzz.judge import _held_memory, _largest_memory
from fuzz.seeds import LEAST, TINY, Call, Name, Pickler
from stylegan_ops.architecture import Architecture
from stylegan_ops.checkpoint import read_checkpoint
from stylegan_ops.errors import StyleGANError
from stylegan_ops.initial import random_state

if TYPE_CHECKING:
    from collections.abc import Callable

LEGACY = b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02M\xe9\x03.\x80\x02}."
"""What a torch file of before 1.6 begins with."""
TENSORS = 9990
"""Views of one storage."""


@dataclass(frozen=True)
class Row:
    """What one file took."""

    file: str
    megabytes: float
    seconds: float
    memory: float
    """Megabytes."""
    verdict: str


class Persistent:
    """Pickles as a storage of torch's."""

    def __init__(self, *identity: object) -> None:
        self.identity = identity


class TorchPickler(Pickler):
    """Writes torch's storages, too."""

    def save(self, obj: object, save_persistent_id: bool = True) -> None:
        """Write an object."""
        if isinstance(obj, Persistent):
            self.save(obj.identity)
            self.write(b"Q")
        else:
            super().save(obj, save_persistent_id)


def dumped(obj: object) -> bytes:
    """A pickle of protocol 2."""
    buffer = io.BytesIO()
    TorchPickler(buffer, 2).dump(obj)
    return buffer.getvalue()


def text(content: bytes) -> bytes:
    """The instruction that pushes a text."""
    return b"X" + struct.pack("<I", len(content)) + content


def filled(unit: bytes, size: int, head: bytes = b"", tail: bytes = b"") -> bytes:
    """A pickle of one piece again and again."""
    return b"\x80\x02" + head + unit * ((size - len(head) - len(tail) - 3) // len(unit)) + tail + b"."


# Model files.


def views(storage: object, shape: tuple[int, ...], stride: tuple[int, ...], first: str) -> bytes:
    """A dict of views of one storage."""
    names = [first, *(f"p{number}" for number in range(1, TENSORS))]
    hooks: OrderedDict[str, object] = OrderedDict()
    return dumped({
        name: Call("torch._utils._rebuild_tensor_v2", storage, 0, shape, stride, False, hooks) for name in names
    })  # fmt: skip


def zip_views(path: Path, size: int, first: str = "style.1.weight", numel: int = 1) -> None:
    """Every tensor lies in one storage, whose checksum is that of all its bytes."""
    storage = Persistent("storage", Name("torch.ByteStorage"), "0", "cpu", size)
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", views(storage, (numel,), (1,), first))
        archive.writestr("a/data/0", bytes(size))
        archive.writestr("a/version", "3")


def zip_overlapping(path: Path, size: int) -> None:
    """Storages of many names that are the same bytes of the file."""
    count = 3000
    state = {f"p{number}": Call(
        "torch._utils._rebuild_tensor_v2",
        Persistent("storage", Name("torch.FloatStorage"), str(number), "cpu", size // 4), 0, (2, 2), (2, 1), False, {},
    ) for number in range(count)} | {"input.input": 0}  # fmt: skip
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a/data.pkl", dumped(state))
        archive.writestr("a/data/0", bytes(size))
        entry = archive.getinfo("a/data/0")
        for number in range(1, count):
            copy = zipfile.ZipInfo(f"a/data/{number}")
            copy.CRC, copy.file_size, copy.compress_size = entry.CRC, entry.file_size, entry.compress_size
            copy.header_offset = entry.header_offset
            archive.filelist.append(copy)


def legacy_stride(path: Path, size: int, first: str = "style.1.weight") -> None:
    """Views of two numbers, the first and the last of a storage."""
    storage = Persistent("storage", Name("torch.ByteStorage"), "0", "cpu", size, None)
    content = views(storage, (2,), (size - 1,), first)
    path.write_bytes(LEGACY + content + dumped(["0"]) + struct.pack("<Q", size) + bytes(size))


def nested(path: Path, size: int, waste: bytes) -> None:
    """A nested torch file that is read again and again, with room in front."""
    storage = b"(" + text(b"storage") + b"ctorch\nByteStorage\n" + text(b"0") + text(b"cpu") + b"K\0NtQ."
    content = LEGACY + b"\x80\x02" + waste + storage + b"\x80\x02]" + text(b"0") + b"a." + bytes(8)
    head = b"B" + struct.pack("<I", len(content)) + content + b"q\0ctorch.storage\n_load_from_bytes\nq\1"
    path.write_bytes(filled(b"h\1h\0\x85R0", size, head, b"}"))


def whole(path: Path, size: int, damage: Callable[[dict[str, torch.Tensor]], None], **change: object) -> None:
    """A network that fills the file and has one fault, in the last tensor that is looked at."""
    width = math.isqrt(size // 4 // 20)
    architecture = Architecture(z_dim=width, w_dim=width, mapping_features=(width,) * 20, channels=(1, 1))
    state = random_state(architecture, seed=1)
    damage(state)
    save_file(state, path)


def no_number(state: dict[str, torch.Tensor]) -> None:
    """The last tensor holds NaN."""
    state[list(state)[-1]].fill_(torch.nan)


def no_mean(state: dict[str, torch.Tensor]) -> None:
    """The mean latent is to be estimated."""
    del state["mapping.w_avg"]


def directory(path: Path, size: int, name: bytes, fields: bytes) -> None:
    """A zip archive that is nothing but its directory."""
    entry = struct.pack(
        "<4s6H3I5H2I", b"PK\1\2", 0, 0, 0, 0, 0, 0, 0, 2**32 - 1, 0, len(name), len(fields), 0, 0, 0, 0, 0
    )
    count = min(size // (len(entry) + len(name) + len(fields)), 49_999)
    content = b"PK\3\4" + (entry + name + fields) * count
    path.write_bytes(content + struct.pack("<4s4H2IH", b"PK\5\6", 0, 0, count, count, len(content) - 4, 4, 0))


LONG_LIST = b"](" + b"N" * 100_000 + b"eq\0"
MODELS: dict[str, Callable[[Path, int], object]] = {
    "a checksum a tensor": zip_views,
    "a checksum a tensor, with a constant": lambda path, size: zip_views(path, size, "input.input"),
    "tensors as large as the file": lambda path, size: zip_views(path, size, "input.input", size),
    "entries over one another": zip_overlapping,
    "views across the file": legacy_stride,
    "views across the file, with a constant": lambda path, size: legacy_stride(path, size, "input.input"),
    "nested, copies": lambda path, size: nested(
        path, size, b"]q\0(" + b"N" * 1200 + b"e0cbuiltins\nset\nq\1" + b"h\1h\0\x85R0" * 800
    ),
    "nested, instructions": lambda path, size: nested(path, size, b"N0" * 5000),
    "nested, nothing": lambda path, size: nested(path, size, b""),
    "empty dicts": lambda path, size: path.write_bytes(filled(b"}", size)),
    "memo entries": lambda path, size: path.write_bytes(filled(b"}r" + b"\xff" * 4, size)),
    "names": lambda path, size: path.write_bytes(filled(b"cnumpy.core.multiarray\n_reconstruct\n", size)),
    "unknown names": lambda path, size: path.write_bytes(filled(b"ca" + b"b" * 200 + b"\nc\n", size)),
    "lists copied": lambda path, size: path.write_bytes(
        filled(b"h\1h\0\x85R", size, LONG_LIST + b"cbuiltins\nset\nq\1")),
    "long arguments": lambda path, size: path.write_bytes(
        filled(b"h\1h\0R", size, b"(" + b"N" * 100_000 + b"tq\0ctorch\ndevice\nq\1")),
    "a text encoded again and again": lambda path, size: path.write_bytes(filled(
        b"h\2h\0h\1\x86R", size, text(b"x" * (size // 2)) + b"q\0U\6latin1q\1c_codecs\nencode\nq\2")),
    "texts with a wide sign": lambda path, size: path.write_bytes(
        filled(text("\U0001f600".encode() + b"x" * 120), size)),
    "a long text with a wide sign": lambda path, size: path.write_bytes(
        b"\x80\x02" + text("\U0001f600".encode() + b"x" * size) + b"."),
    "equal keys": lambda path, size: path.write_bytes(filled(
        b"h\0Nsh\1Ns", size, text(b"k" * (size // 4)) + b"q\0" + text(b"k" * (size // 4)) + b"q\1}")),
    "a directory of long names": lambda path, size: directory(path, size, b"\xff" * 60_000, b""),
    "a directory of names": lambda path, size: directory(path, size, b"\xff" * 1000, b""),
    "a directory of fields": lambda path, size: directory(path, size, b"n", b"\2\0\0\0" * 16_000),
    "a whole network, no number at its end": lambda path, size: whole(path, size, no_number),
    "a whole network without its mean": lambda path, size: whole(path, size, no_mean),
}  # fmt: skip


# Presets.


def preset(unit: str, head: str = "schema = 1\nname = [", tail: str = "]", most: int | None = None) -> str:
    """One piece again and again, up to the size of the largest preset, or so many times."""
    fit = (LARGEST_PRESET - len(head) - len(tail)) // len(unit)
    return head + unit * min(fit, most or fit) + tail


SEEDS = LEAST.partition("seeds = [1]")
PRESETS: dict[str, Callable[[], str]] = {
    "preset: values": lambda: preset("1,"),
    "preset: values, as many as are counted": lambda: preset("1,", most=MOST_VALUES - 3),
    "preset: wrong seeds": lambda: preset("-1,", f"{SEEDS[0]}seeds = [", f"]{SEEDS[2]}"),
    "preset: wrong seeds, as many": lambda: preset("-1,", f"{SEEDS[0]}seeds = [", f"]{SEEDS[2]}", MOST_VALUES - 20),
    "preset: empty tables": lambda: preset("{},", "schema = 1\n[latents]\nsequences = ["),
    "preset: tables": lambda: preset("[[latents.sequences]]\n", LEAST, ""),
    "preset: names to weigh": lambda: LEAST + "[[synthesizers]]\nkind = 'hippo'\nname = 'a'\nweights = {"
    + ",".join(f"spectral_flat{number}=1" for number in range(18_000)) + "}\n",
    "preset: remarks": lambda: preset("#\n", "schema = 1\n", ""),
    "preset: escapes": lambda: preset("\\\\", 'schema = 1\nname = "', '"'),
}  # fmt: skip


def measured(name: str, path: Path) -> Row:
    """Read a file in this process."""
    before, start = _held_memory(), time.process_time()
    try:
        if path.suffix == ".toml":
            parse_preset(path.read_text(encoding="utf-8"), path.name)
        else:
            read_checkpoint(path)
        verdict = "read"
    except (AudioReactiveError, StyleGANError) as error:
        verdict = str(error).removeprefix(f"{path}: ")[:90]
    seconds, memory = time.process_time() - start, _largest_memory() - before
    return Row(name, path.stat().st_size / 2**20, seconds, memory, verdict)


def in_a_process(name: str, path: Path, limit: int) -> Row:
    """Read a file in a process of its own, which ends after `limit` seconds."""
    command = [sys.executable, __file__, "--read", name, str(path)]
    try:
        child = subprocess.run(command, capture_output=True, encoding="utf-8", timeout=limit, check=False)
    except subprocess.TimeoutExpired:
        return Row(name, path.stat().st_size / 2**20, float(limit), math.nan, "NO END")
    if child.returncode:
        return Row(name, path.stat().st_size / 2**20, math.nan, math.nan, child.stderr.strip()[-90:])
    return Row(**json.loads(child.stdout))


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--megabytes", type=int, default=64, help="of each model file (default: %(default)s)")
    parser.add_argument("--only", default="", help="files whose names hold this")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--read", nargs=2, metavar=("NAME", "FILE"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.read:
        with tempfile.TemporaryDirectory() as warm:  # what the first reading imports is no deed of the file's
            save_file(random_state(TINY, seed=1), Path(warm) / "tiny.safetensors")
            read_checkpoint(Path(warm) / "tiny.safetensors")
            parse_preset(LEAST, "least")
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        print(json.dumps(asdict(measured(options.read[0], Path(options.read[1])))))
        return
    rows = []
    print(f"{'file':44}{'MB':>7}{'seconds':>9}{'memory MB':>11}  verdict")
    with tempfile.TemporaryDirectory() as folder:
        for name in (*MODELS, *PRESETS):
            if options.only not in name:
                continue
            path = Path(folder) / ("file.toml" if name in PRESETS else "file.pt")
            if name in PRESETS:
                path.write_text(PRESETS[name](), encoding="utf-8")
            else:
                MODELS[name](path, options.megabytes << 20)
            row = in_a_process(name, path, 120)
            rows.append(row)
            print(f"{name:44}{row.megabytes:7.1f}{row.seconds:9.2f}{row.memory:11.0f}  {row.verdict}", flush=True)
            path.unlink()
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
