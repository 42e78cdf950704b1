"""The painter's form for browsers: its shaders are GLSL ES, and take what the others take."""

from __future__ import annotations

import re
import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from audioreactive.generators.painter import FAMILIES, webgl
from audioreactive.generators.painter.parameters import FIELDS

if TYPE_CHECKING:
    from pathlib import Path

COMPILER = shutil.which("glslangValidator")


@pytest.mark.skipif(COMPILER is None, reason="no glslangValidator (Debian: glslang-tools)")
def test_every_shader_compiles(tmp_path: Path) -> None:
    assert COMPILER is not None
    made = {family: webgl.painting(family) for family in FAMILIES}
    made |= {"revealing": webgl.revealing(), "finishing": webgl.finishing()}
    for name, text in made.items():
        (tmp_path / f"{name}.frag").write_text(text, "utf-8")
    files = [f"{name}.frag" for name in made]
    found = subprocess.run([COMPILER, "-S", "frag", *files], cwd=tmp_path, capture_output=True, text=True)
    assert found.returncode == 0, found.stdout
    broken = made["ink"].replace("Float u = fold.x;", "Float u = fold.nowhere;")
    (tmp_path / "ink.frag").write_text(broken, "utf-8")
    assert subprocess.run([COMPILER, "-S", "frag", "ink.frag"], cwd=tmp_path, capture_output=True).returncode != 0


def test_a_shader_stands_alone() -> None:
    text = webgl.painting("agate")
    assert text.startswith("#version 300 es\n") and "#include" not in text
    assert text.count("Vec4 cells(") == 1
    with pytest.raises(ValueError, match="'nothing' is not one of agate, "):
        webgl.painting("nothing")


def test_its_parameters_are_those_of_all_forms() -> None:
    struct = re.search(r"struct Latents \{(.*?)\};", webgl.finishing(), re.DOTALL)
    assert struct is not None
    found = []
    for kind, names in re.findall(r"(float|vec3) ([^;]*);", struct[1]):
        for name, length in re.findall(r"(\w+)(?:\[(\d+)\])?", names):
            found.append((name, (3 if kind == "vec3" else 1) * int(length or 1)))
    assert tuple(found) == FIELDS
