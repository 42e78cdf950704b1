"""Whether a browser paints what the compiled form paints: WebGL 2 in a headless Chromium, on its software renderer.

    python benchmarks/painter_browser.py [--families ink,metal] [--size 160x88] [--browser chromium]

A line for each family: the difference in levels of 255 after the finishing pass, its mean and the share of values above
two. Families that look at slopes differ more: WebGL leaves it to the renderer whether the two rows of a square of 2 x 2
pixels share one difference, and Chromium's software renderer takes that of the lower row for both.
"""

from __future__ import annotations

import argparse
import base64
import json
import os
import re
import subprocess
import tempfile
from dataclasses import dataclass
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from audioreactive.generators import parse_size
from audioreactive.generators.painter import FAMILIES, Painter, webgl
from audioreactive.generators.painter.painter import bloomed
from audioreactive.generators.painter.parameters import FIELDS

if TYPE_CHECKING:
    from audioreactive.generators.painter.parameters import Native

SECONDS: Final = 600
"""Most seconds for all families."""

PAGE: Final = """<html><body><pre id="found"></pre><script>
const {width, height, jobs} = JOBS;
const VERTEX = `#version 300 es
void main() {
    gl_Position = vec4(gl_VertexID == 1 ? 3.0 : -1.0, gl_VertexID == 2 ? 3.0 : -1.0, 0.0, 1.0);
}`;
const gl = document.createElement("canvas").getContext("webgl2");

function shader(kind, text) {
    const made = gl.createShader(kind);
    gl.shaderSource(made, text);
    gl.compileShader(made);
    if (!gl.getShaderParameter(made, gl.COMPILE_STATUS)) throw gl.getShaderInfoLog(made);
    return made;
}

function texture(unit) {
    const made = gl.createTexture();
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, made);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
    return made;
}

function painted(job) {
    const program = gl.createProgram();
    gl.attachShader(program, shader(gl.VERTEX_SHADER, VERTEX));
    gl.attachShader(program, shader(gl.FRAGMENT_SHADER, job.text));
    gl.linkProgram(program);
    if (!gl.getProgramParameter(program, gl.LINK_STATUS)) throw gl.getProgramInfoLog(program);
    gl.useProgram(program);
    const at = name => gl.getUniformLocation(program, name);
    for (const [name, values, scalar] of job.parameters)
        if (scalar) gl.uniform1fv(at(name), values);
        else gl.uniform3fv(at(name), values);
    gl.uniform2i(at("size"), width, height);
    gl.uniform1i(at("noise_table"), 0);
    texture(0);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.R32F, job.columns, job.rows, 0, gl.RED, gl.FLOAT, new Float32Array(job.noise));
    const target = texture(1);
    gl.texStorage2D(gl.TEXTURE_2D, 1, gl.RGBA32F, width, height);
    gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, target, 0);
    gl.viewport(0, 0, width, height);
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    const pixels = new Float32Array(4 * width * height);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.FLOAT, pixels);
    let text = "";
    for (const byte of new Uint8Array(pixels.buffer)) text += String.fromCharCode(byte);
    return btoa(text);
}

function answer(job) {
    try {
        if (!gl || !gl.getExtension("EXT_color_buffer_float")) throw "there are no textures of floats";
        return {pixels: painted(job)};
    } catch (error) {
        return {error: String(error)};
    }
}
document.getElementById("found").textContent = JSON.stringify(jobs.map(answer));
</script></body></html>"""


@dataclass(frozen=True)
class Wanted:
    """A picture of a family by the compiled form, and what it is made of."""

    family: str
    parameters: Native
    noise: torch.Tensor
    colour: torch.Tensor
    bloom: torch.Tensor

    def finished(self, painter: Painter, colour: torch.Tensor) -> torch.Tensor:
        """Finish linear light (3, h, w) as this picture is finished: levels of 255."""
        picture = torch.empty(3, *painter.img_size)
        assert painter._kernels is not None
        painter._kernels.finish(self.parameters, colour.contiguous(), self.bloom, picture)
        return picture * 127.5 + 127.5

    def job(self) -> dict[str, Any]:
        """Say what the page needs."""
        rows, columns = self.noise.shape
        parameters = [
            [f"parameters.{name}{'[0]' if length != 3 else ''}", list(getattr(self.parameters, name)), length == 8]
            for name, length in FIELDS
        ]
        return {
            "text": webgl.painting(self.family), "parameters": parameters, "noise": self.noise.flatten().tolist(),
            "rows": rows, "columns": columns,
        }  # fmt: skip


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--families", default=",".join(FAMILIES))
    parser.add_argument("--size", type=parse_size, default=(160, 88), help="multiples of 4")
    parser.add_argument("--browser", default="chromium")
    options = parser.parse_args()
    width, height = options.size
    with torch.inference_mode():
        pictures = [wanted(family, (height, width)) for family in options.families.split(",")]
        page = {"width": width, "height": height, "jobs": [one.job() for one in pictures]}
        found = answers(options.browser, PAGE.replace("JOBS", json.dumps(page), 1))
        print("| family | mean, levels | share above two |\n|---|---|---|")
        for one, answer in zip(pictures, found, strict=True):
            if "error" in answer:
                print(f"| {one.family} | {answer['error']} | |")
                continue
            values = np.frombuffer(base64.b64decode(answer["pixels"]), np.float32).reshape(height, width, 4)
            colour = torch.from_numpy(values[::-1, :, :3].copy()).permute(2, 0, 1)  # rows run up there
            painter = Painter((one.family,), (height, width))
            difference = (one.finished(painter, colour) - one.finished(painter, one.colour)).abs()
            print(f"| {one.family} | {difference.mean():.3f} | {(difference > 2).float().mean():.4f} |")


def wanted(family: str, size: tuple[int, int]) -> Wanted:
    """Paint a family by the compiled form."""
    painter = Painter((family,), size)
    assert painter._kernels is not None, "there is no compiler"
    ws = painter.mapping(torch.randn(1, painter.z_dim, generator=torch.Generator().manual_seed(3)))
    parameters = painter._parameters(ws, painter._structure(ws)[1][0, 0]).native(0)
    noise = painter._noise_tables(None, 1)[0]
    colour, glow = torch.empty(3, *size), torch.empty(3, size[0] // 4, size[1] // 4)
    painter._kernels.paint(family, parameters, noise, colour, glow, size)
    return Wanted(family, parameters, noise, colour, bloomed(glow[None])[0])


def answers(browser: str, page: str) -> list[dict[str, str]]:
    """Open a page and read what it found."""
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        path = Path(folder, "page.html")
        path.write_text(page, "utf-8")
        root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
        command = [
            browser, "--headless", *root, "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
            f"--user-data-dir={folder}/profile", f"--timeout={1000 * SECONDS}", "--dump-dom", path.as_uri(),
        ]  # fmt: skip
        told = subprocess.run(command, capture_output=True, encoding="utf-8", errors="replace", timeout=SECONDS)
    found = re.search(r'<pre id="found">(.*?)</pre>', told.stdout, re.DOTALL)
    if found is None or not found[1]:
        raise SystemExit(f"{browser} says nothing: {told.stderr[-1000:]}")
    read: list[dict[str, str]] = json.loads(unescape(found[1]))
    return read


if __name__ == "__main__":
    main()
