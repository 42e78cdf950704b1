"""Models of no size, or of an impossible one, through the real command: a sentence, and nothing else."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from safetensors.torch import save_file

from stylegan_ops.architecture import MAX_SIDE, Architecture

if TYPE_CHECKING:
    from pathlib import Path

CASES: dict[str, tuple[dict[str, object], str]] = {
    "no rows": ({"const_size": (0, 4)}, "the height of the learned constant is 0"),
    "no columns": ({"const_size": (4, 0)}, "the width of the learned constant is 0"),
    "no channels": ({"channels": (1, 0)}, "the least channels of a block is 0"),
    "no latents": ({"z_dim": 0}, "z is 0"),
    "no w": ({"w_dim": 0, "mapping_features": (0,)}, "w is 0"),
    "fewer latents than none": ({"c_dim": 3, "embed_features": 5, "z_dim": -3}, "z is -3"),
    "too wide": ({"const_size": (1, MAX_SIDE + 1)}, f"the width of the learned constant is {MAX_SIDE + 1}"),
}
"""Name of a fault -> changes of an architecture that make it, and words of the error message."""


@pytest.mark.parametrize("name", CASES)
def test_an_impossible_model_is_refused_in_a_sentence(call, song, tmp_path: Path, name: str) -> None:
    change, words = CASES[name]
    architecture = Architecture(**({"z_dim": 2, "w_dim": 2, "mapping_features": (2,), "channels": (1, 1)} | change))  # type: ignore[arg-type]
    state = {key: torch.zeros(shape) for key, shape in architecture.shapes().items()}
    (folder := tmp_path / "models").mkdir()
    save_file(state, model := folder / "odd.safetensors", metadata={"stylegan2": "{}"})
    result = call("render", song, "--model", model, "--duration", "0.2", "-o", tmp_path / "out.mp4")
    assert (result.code, result.out) == (2, "")
    assert result.err.startswith("error: ") and result.err.count("\n") == 1
    assert "odd.safetensors" in result.err and words in result.err
    assert [path.name for path in tmp_path.iterdir()] == ["models"]
