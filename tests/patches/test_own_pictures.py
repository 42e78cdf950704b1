"""Latents of users' own pictures: files of projectors, sidecars, palettes."""

from __future__ import annotations

import io
import os
import pickle
import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from support import GOLDEN, make_features

from audioreactive.errors import PresetError, RenderError
from audioreactive.generators import open_generator
from audioreactive.patches.latents import make_palette
from audioreactive.patches.motion import motion
from audioreactive.patches.own_pictures import import_latents, read_latents, sidecar_name
from audioreactive.patches.presets import load_preset, parse_preset, preset_text, save_preset
from audioreactive.patches.schema import Palette

if TYPE_CHECKING:
    from pathlib import Path

MODEL = GOLDEN / "nvidia_skip64.pkl"


@pytest.fixture(autouse=True)
def library(tmp_path_factory, monkeypatch) -> Path:
    """A library of its own for each test."""
    folder = tmp_path_factory.mktemp("library")
    monkeypatch.setattr("audioreactive.patches.own_pictures.library", lambda: folder)
    return folder


@pytest.fixture
def network():
    return open_generator(MODEL, device="cpu", precision="fp32").generator


def latents(network, count: int = 2) -> np.ndarray:
    draw = np.random.RandomState(3)
    return draw.standard_normal((count, network.num_ws, network.w_dim)).astype(np.float32)


def test_every_kind_of_file_gives_the_same_latents(network, tmp_path: Path) -> None:
    ws = latents(network)
    np.savez(tmp_path / "projected_w.npz", w=ws)
    np.savez_compressed(tmp_path / "small.npz", w=ws, noise=np.zeros(3))
    np.save(tmp_path / "latents.npy", ws)
    torch.save(torch.from_numpy(ws), tmp_path / "latents.pt")
    of_files = {
        name: {"latent": torch.from_numpy(row), "img": torch.zeros(1, 3, 8, 8)}
        for name, row in zip("ab", ws, strict=True)
    }
    torch.save(of_files, tmp_path / "projected.pt")
    torch.save(torch.from_numpy(ws), tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    save_file({"latents": ws}, tmp_path / "a.safetensors")
    for path in sorted(tmp_path.iterdir()):
        np.testing.assert_array_equal(read_latents(path), ws, path.name)
    assert read_latents(_saved(tmp_path / "one.npz", w=ws[0])).shape == (1, network.num_ws, network.w_dim)
    assert read_latents(_saved(tmp_path / "single.npz", w=ws[0, 0])).shape == (1, 1, network.w_dim)


def _saved(path: Path, **arrays: np.ndarray) -> Path:
    np.savez(path, **arrays)
    return path


def test_own_pictures_stand_beside_seeds(network, tmp_path: Path) -> None:
    ws = latents(network)
    first, second = import_latents(_saved(tmp_path / "a.npz", w=ws))
    assert first.endswith("/0") and second == first[:-1] + "1"
    mixed = Palette(seeds=(5, second, first), truncation=0.5)
    vectors = make_palette(mixed, network)
    np.testing.assert_array_equal(vectors[1:].numpy(), ws[::-1])
    np.testing.assert_array_equal(vectors[0].numpy(), make_palette(Palette(seeds=(5,), truncation=0.5), network)[0])
    fine = make_palette(Palette(seeds=(5,), fine=(first,)), network)[0].numpy()
    np.testing.assert_array_equal(fine[-1], ws[0, -1])
    assert (fine[0] != ws[0, 0]).any()


HEAD = "schema = 1\n[palette]\nseeds = [{entries}]\n[latents]\nbase = [0, 1]\n[noise]\nseeds = [1]\nbase = [0]\n"


def test_a_preset_and_its_sidecar_travel_together(network, tmp_path: Path, library: Path) -> None:
    (entry,) = import_latents(_saved(tmp_path / "a.npz", w=latents(network, 1)))
    preset = parse_preset(HEAD.format(entries=f'"{entry}", 4'), "x")
    assert parse_preset(preset_text(preset), "again") == preset
    wanted = motion(preset.patch, make_features(0.2)).on(network).frames(0, 2).ws
    save_preset(preset, tmp_path / "mine.toml")
    sidecar = tmp_path / sidecar_name(entry[2:18])
    assert sidecar.is_file()
    for path in library.iterdir():  # another computer
        path.unlink()
    from audioreactive.patches.own_pictures import _library_entry

    _library_entry.cache_clear()
    with pytest.raises(RenderError, match="neither in the library nor beside the preset"):
        motion(preset.patch, make_features(0.2)).on(network)
    again = load_preset(str(tmp_path / "mine.toml"))
    torch.testing.assert_close(
        motion(again.patch, make_features(0.2)).on(network).frames(0, 2).ws, wanted, rtol=0, atol=0
    )
    for path in library.iterdir():
        path.unlink()
    sidecar.write_bytes(sidecar.read_bytes()[:-1] + b"x")
    with pytest.raises(RenderError, match="was changed"):
        load_preset(str(tmp_path / "mine.toml"))
    sidecar.unlink()
    sidecar.symlink_to("/etc/passwd")
    load_preset(str(tmp_path / "mine.toml"))
    assert not list(library.iterdir())


def test_latents_of_another_model_are_a_sentence(network, tmp_path: Path) -> None:
    (entry,) = import_latents(_saved(tmp_path / "a.npz", w=np.zeros((1, 18, 512), np.float32)))
    with pytest.raises(RenderError, match=r"18x512, where this model takes .*another model"):
        make_palette(Palette(seeds=(entry,)), network)
    with pytest.raises(RenderError, match="pictures 0 to 0"):
        make_palette(Palette(seeds=(entry[:-1] + "7",)), network)


@pytest.mark.parametrize("entry", ["w:../../etc/passwd", "w:0123/0", "/tmp/a.npz", "w:0123456789abcdef/00001", "W:0"])
def test_a_preset_opens_no_path(entry: str) -> None:
    with pytest.raises(PresetError, match="neither a seed nor an own picture"):
        parse_preset(HEAD.format(entries=f'"{entry}"'), "x")


class Attack:
    """Object that runs a command where a file is read carelessly."""

    def __reduce__(self):
        return os.system, ("touch hacked",)


def _bomb() -> bytes:
    """An .npz whose array says that it is a terabyte."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": "<f4", "fortran_order": False, "shape": (1 << 38,)})
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w") as archive:
        archive.writestr("w.npy", header.getvalue())
    return found.getvalue()


def _packed(method: int, broken: bool = False) -> bytes:
    """An .npz of a given compression, on request with bytes in its middle that are no such compression."""
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w", method) as archive:
        archive.writestr("w.npy", np.random.RandomState(1).bytes(4000))
    content = bytearray(found.getvalue())
    if broken:
        content[300:400] = b"\xff" * 100
    return bytes(content)


def _said_larger() -> bytes:
    """An .npz whose directory says that an entry has more bytes than are there."""
    content = bytearray(_packed(zipfile.ZIP_DEFLATED))
    place = content.find(b"PK\1\2")
    content[place + 24 : place + 28] = (60_000).to_bytes(4, "little")
    return bytes(content)


def _crowded() -> bytes:
    """An archive of 60 000 empty entries that are one."""
    found = io.BytesIO()
    with zipfile.ZipFile(found, "w") as archive:
        archive.writestr("w.npy", b"")
    content = found.getvalue()
    start, end = content.find(b"PK\1\2"), content.find(b"PK\5\6")
    many = content[start:end] * 60_000
    last = content[end : end + 8] + b"\x60\xea" * 2 + len(many).to_bytes(4, "little") + content[end + 16 :]
    return content[:start] + many + last


def _described(header: bytes) -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def _objects() -> bytes:
    found = io.BytesIO()
    np.savez(found, w=np.array([Attack()], object))
    return found.getvalue()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "holds no latents"),
        (b"text", "holds no latents"),
        (pickle.dumps(Attack()), "system"),
        (pickle.dumps({"w": Attack()}), "system"),
        (_objects(), "Python objects"),
        (_bomb(), "damaged"),
        (b"PK\x03\x04" + bytes(100), "."),
        (b"\x93NUMPY\x01\x00\xff\xff", "damaged"),
        (_described(b"-" * 900 + b"1"), "damaged"),
        (_described(b"-" * 9000 + b"1"), "damaged"),
        (_described(b"{'descr':" + b"[" * 300), "damaged"),
        (_described(b"{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 512), }"), "damaged"),
        (_described(b"{'descr': '|V0', 'fortran_order': False, 'shape': (1000000000000,), }"), "damaged"),
        (_packed(zipfile.ZIP_LZMA), "damaged"),
        (_packed(zipfile.ZIP_LZMA, broken=True), "damaged"),
        (_packed(zipfile.ZIP_DEFLATED, broken=True), "damaged"),
        (_packed(zipfile.ZIP_STORED, broken=True), "damaged"),
        (_said_larger(), "damaged"),
        (_crowded(), "60000 entries"),
        (pickle.dumps({"w": 3}), "no array by the name of latents"),
        (pickle.dumps([[[]] * 30_000]), "entries"),
    ],
)
def test_hostile_files_are_a_sentence(content: bytes, words: str, tmp_path: Path, library: Path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(RenderError, match=words):
        import_latents(path)
    assert not list(library.iterdir()) and not (tmp_path / "hacked").exists()


@pytest.mark.parametrize(
    "array",
    [
        np.full((1, 4, 8), np.nan),
        np.full((1, 4, 8), 1e9),
        np.zeros((2, 100, 8)),
        np.zeros((1, 2, 10_000)),
        np.ones((3, 4), int),
    ],
)
def test_arrays_that_are_no_latents(array: np.ndarray, tmp_path: Path) -> None:
    with pytest.raises(RenderError):
        read_latents(_saved(tmp_path / "a.npz", w=array))
