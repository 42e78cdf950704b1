"""The shaders' text, run by PyTorch: the language, and its functions against PyTorch's own."""

from __future__ import annotations

import math

import pytest
import torch

from audioreactive.generators.painter.functions import Raster, Table, Vector, places
from audioreactive.generators.painter.shading import ShaderError, parse

GRID = Raster((4, 8), (4, 8))


def run(body: str, **values: object) -> object:
    """The value of a function with this body."""
    names = ", ".join(f"Float {name}" for name in values)
    return parse(f"Float f({names}) {{ {body} }}")["f"](*values.values())


def test_operators_bind_as_in_c() -> None:
    assert run("return 2.0f + 3.0f * 4.0f - 6.0f / 2.0f;") == 11
    assert run("return (2.0f + 3.0f) * -4.0f;") == -20
    assert run("return 7 / 2 + 7 % 2;") == 4, "whole numbers divide as in C"
    assert run("Float a = 1.0f; a += 2.0f; a *= 5.0f; a -= 1.0f; a /= 7.0f; return a;") == 2
    assert run("return 1.5e-1f + .25f;") == 0.4


def test_loops_arrays_and_constants() -> None:
    scope = parse("""
        const float THREE = 3.0f;  // a comment
        float twice(float x) { return x * 2.0f; }
        float sum() {
            float found[4];
            UNROLL for (int k = 0; k < 4; k++) { found[k] = twice(float(k)) + THREE; }
            float total = 0.0f, unused;
            for (int k = 0; k < 4; k++) total += found[k];
            return total;
        }
    """)
    assert scope["sum"]() == 24


def test_variables_of_a_call_are_its_own() -> None:
    scope = parse(
        "float f(float x) { x += 1.0f; return x; } float g(float x) { float y = f(x); return x * 10.0f + y; }"
    )
    assert scope["g"](1.0) == 12


def test_vectors_are_added_and_scaled_part_by_part() -> None:
    scope = parse("Vec3 f(Vec3 a, float b) { Vec3 c = -a * b; c += Vec3(1.0f, 2.0f, 3.0f); return c / 2.0f; }")
    made = scope["f"](Vector((1.0, 2.0, 3.0)), 2.0)
    assert made.parts == (-0.5, -1.0, -1.5) and (made.x, made.y, made.z) == made.parts


def test_functions_are_those_of_pytorch() -> None:
    x = torch.linspace(-3, 3, 61).view(1, -1)
    for name, expected in {
        "sin(x)": x.sin(), "tanh(x)": x.tanh(), "exp2(x)": x.exp2(), "abs(x)": x.abs(), "fract(x)": x - x.floor(),
        "select(x < 0.0f, 1.0f, x)": torch.where(x < 0, 1.0, x), "min(x, 0.5f)": x.clamp(max=0.5),
        "pow(abs(x) + 1.0f, 2.5f)": (x.abs() + 1) ** 2.5, "inversesqrt(x * x + 1.0f)": (x * x + 1).rsqrt(),
        "atan(x, 0.5f)": torch.atan2(x, torch.tensor(0.5)),
    }.items():  # fmt: skip
        torch.testing.assert_close(run(f"return {name};", x=x), expected, msg=name)


def test_derivatives_are_differences_within_squares_of_two() -> None:
    x = torch.arange(32.0).view(4, 8) ** 2
    across, down = run("return dFdx(x);", x=x), run("return dFdy(x);", x=x)
    assert isinstance(across, torch.Tensor) and isinstance(down, torch.Tensor)
    for row in range(4):
        for column in range(8):
            left, top = column // 2 * 2, row // 2 * 2
            assert across[row, column] == x[row, left + 1] - x[row, left]
            assert down[row, column] == x[top + 1, column] - x[top, column]


def test_tables_are_read_smoothly_and_end_at_their_edges() -> None:
    table = Table(torch.tensor([[0.0, 1.0, 4.0], [2.0, 3.0, 6.0]]))
    scope = parse("Float f(Place p, Float x, Float y) { return table_value(p.table, x, y); }")
    place = places(GRID, table, torch.device("cpu"))
    found = scope["f"](place, torch.tensor([[0.0, 0.5, 1.0, 9.0]]), torch.tensor([[0.0, 0.5, 0.0, -3.0]]))
    torch.testing.assert_close(found, torch.tensor([[0.0, 1.5, 1.0, 4.0]]), atol=1e-4, rtol=0)


def test_pixels_are_square_and_centred() -> None:
    place = places(Raster((90, 160), (92, 160)), Table(torch.zeros(2, 2)), torch.device("cpu"))
    assert place.px == pytest.approx(2 / 90) and place.bottom == 1 and place.right == pytest.approx(16 / 9)
    assert place.x.mean().abs() < 1e-6 and place.y[:90].mean().abs() < 1e-6
    assert place.x.diff().mean() == pytest.approx(place.px) and place.y.diff(dim=0).mean() == pytest.approx(place.px)


def test_noise_is_gradient_noise() -> None:
    """Zero on the lattice, about -1 to 1 between, and turned by its angle."""
    from audioreactive.generators.painter.plain import text

    noise = parse(text("common"))["noise"]
    y, x = torch.meshgrid(torch.arange(0, 64, 0.25), torch.arange(0, 64, 0.25), indexing="ij")
    values = noise(x, y, 3, 0.0)
    assert values[::4, ::4].abs().max() < 1e-6
    assert 0.25 < values.std() < 0.5 and values.abs().max() < 1.3 and values.mean().abs() < 0.02
    torch.testing.assert_close(noise(x, y, 3, math.pi), -values, atol=1e-5, rtol=0)
    assert (noise(x, y, 4, 0.0) - values).std() > 0.3


@pytest.mark.parametrize(
    "text",
    ["Float f() { return 1.0f }", "Float f() { x ?= 1.0f; }", "Float f() { return @; }", "Float f( { return 1.0f; }"],
)
def test_text_outside_the_subset_is_refused(text: str) -> None:
    with pytest.raises(ShaderError):
        parse(text)["f"]()


def test_gradients_pass_through() -> None:
    x = torch.linspace(0, 1, 8).view(1, 8).requires_grad_()
    made = run("return sin(x) * x;", x=x)
    assert isinstance(made, torch.Tensor)
    made.sum().backward()
    torch.testing.assert_close(x.grad, x.detach().sin() + x.detach() * x.detach().cos())
