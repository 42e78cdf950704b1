"""Synthesizers as files: the same motion again, and strangers' files refused with a sentence."""

from __future__ import annotations

import base64
import json
import pickle
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from depth import examples
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.torch import load, save

from audioreactive.errors import SynthesizerError
from audioreactive.learn.model_file import (
    METADATA_KEY,
    Configuration,
    SynthesizerNetwork,
    embeddable,
    embedded_model,
    file_bytes,
    model_of,
    read_model,
    write_model,
)

if TYPE_CHECKING:
    from pathlib import Path

INPUTS = np.random.RandomState(0).random_sample((100, 58)).astype(np.float32)


def network(**options: object) -> SynthesizerNetwork:
    torch.manual_seed(0)
    return SynthesizerNetwork(Configuration(**{"kind": "gru", "depth": 1, **options}))


WHOLE = file_bytes(network())


def test_a_file_moves_as_its_network_did(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    write_model(network(about="a test"), path)
    model = read_model(path)
    assert model.configuration.about == "a test"
    motion = model.motion(INPUTS, 0)
    assert motion.shape == (100, 17)
    assert 0.1 < np.abs(motion).max() < 1
    rounded = network().half().float().eval()
    with torch.no_grad():
        torch.testing.assert_close(model.network.envelopes(torch.rand(1, 9, 58)).shape, torch.Size([1, 9, 17]))
        expected = rounded.envelopes(torch.from_numpy(INPUTS)[None])
        torch.testing.assert_close(model.network.envelopes(torch.from_numpy(INPUTS)[None]), expected)


def test_a_preset_carries_the_whole_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.safetensors"
    path.write_bytes(WHOLE)
    trained = embeddable(path, 7)
    model = embedded_model(trained.model, "it")
    np.testing.assert_array_equal(model.motion(INPUTS, 7), read_model(path).motion(INPUTS, 7))
    assert np.abs(model.motion(INPUTS, 7) - model.motion(INPUTS, 0)).mean() > 0.1


def test_a_learned_decoder_is_not_rendered(tmp_path: Path) -> None:
    path = tmp_path / "learned.safetensors"
    data = file_bytes(network(decoder="learned", width=8))
    path.write_bytes(data)
    assert read_model(path).network.decoder is not None
    with pytest.raises(SynthesizerError, match="--decoder parameter-free"):
        embeddable(path, 0)
    with pytest.raises(SynthesizerError, match="learned decoder"):
        embedded_model(base64.b64encode(data).decode(), "it")


def changed(**changes: object) -> bytes:
    """The whole file, said to be something else."""
    described = json.loads(network().configuration.model_dump_json()) | changes
    return save(load(WHOLE), {METADATA_KEY: json.dumps(described)})


def with_tensor(name: str, tensor: torch.Tensor | None) -> bytes:
    state = load(WHOLE)
    if tensor is None:
        del state[name]
    else:
        state[name] = tensor
    return save(state, {METADATA_KEY: network().configuration.model_dump_json()})


class Evil:
    def __reduce__(self) -> tuple:
        return (exec, ("raise SystemExit('executed')",))


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "no safetensors file"),
        (b"hello, I am a song" * 9, "no safetensors file"),
        (pickle.dumps(Evil()), "no safetensors file"),
        (WHOLE[:-50], "damaged"),
        (WHOLE[:200], "no safetensors file"),
        (b"\xff" * 8 + WHOLE[8:], "no safetensors file"),
        (save({"a": torch.zeros(1)}), "something else"),
        (save({"a": torch.zeros(1)}, {METADATA_KEY: "[" * 100_000}), "something else"),
        (save({"a": torch.zeros(1)}, {METADATA_KEY: "{}"}), "does not say what it is"),
        (changed(kind="os.system"), "does not say what it is"),
        (changed(depth=10**9), "does not say what it is"),
        (changed(hidden=100_000), "does not say what it is"),
        (changed(format=2), "does not say what it is"),
        (changed(payload="x"), "does not say what it is"),
        (changed(depth=2), "lacks the tensor"),
        (changed(hidden=18), "has the shape"),
        (with_tensor("extra", torch.zeros(1)), "does not: the file is damaged"),
        (with_tensor("head.bias".replace("head", "generator.head"), None), "lacks the tensor"),
        (with_tensor("generator.head.bias", torch.full((17,), float("nan"))), "no numbers"),
        (with_tensor("generator.head.bias", torch.zeros(17, dtype=torch.int64)), "no numbers"),
    ],
)
def test_files_from_strangers_are_refused(data: bytes, message: str) -> None:
    with pytest.raises(SynthesizerError, match=message):
        model_of(data, "stranger.safetensors")


@settings(max_examples=examples(30, 300), deadline=None)
@given(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=8))
def test_no_damage_ends_in_anything_else_than_a_sentence(at: int, junk: bytes) -> None:
    data = WHOLE[:at] + junk + WHOLE[at + len(junk) :]
    try:
        model_of(data, "it").motion(INPUTS[:5], 0)
    except SynthesizerError as error:
        assert len(str(error)) < 400


def test_weights_that_leave_the_numbers_are_told() -> None:
    """Each is a number; what they make of a song is none."""
    whole = network(kind="convnext")
    state = {name: torch.full_like(tensor, 1e38) for name, tensor in whole.state_dict().items()}
    model = model_of(save(state, {METADATA_KEY: whole.configuration.model_dump_json()}), "it")
    with pytest.raises(SynthesizerError, match="no number any more"):
        model.motion(INPUTS, 0)


def test_missing_files_and_folders(tmp_path: Path) -> None:
    with pytest.raises(SynthesizerError, match="cannot be read"):
        read_model(tmp_path / "none.safetensors")
    with pytest.raises(SynthesizerError, match="not a file"):
        read_model(tmp_path)
    with pytest.raises(SynthesizerError, match="no base64"):
        embedded_model("ab=c", "it")
