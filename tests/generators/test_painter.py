"""The painter: every family in both forms, at every size, smooth in its latents, the same whenever it is painted."""

from __future__ import annotations

import math
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from compilers import has_compiler, needs_compiler

from audioreactive.errors import RenderError
from audioreactive.generators import named_source, open_generator
from audioreactive.generators.painter import FAMILIES, Painter, choice, plain
from audioreactive.generators.painter import kernels as kernels_module
from audioreactive.generators.painter.families import SHADERS
from audioreactive.generators.painter.functions import Raster, Vector
from audioreactive.generators.painter.painter import BLOOM_ROWS, bloomed
from audioreactive.generators.painter.schemes import SCHEMES, colours, linear_rgb
from audioreactive.generators.painter.shading import parse
from audioreactive.generators.pixels import to_pixels
from audioreactive.generators.sources import BuiltinModel, PainterSource
from audioreactive.patches.latents import make_palette
from audioreactive.patches.schema import Palette
from stylegan_ops import build

SMALL = (36, 64)
compiled = pytest.mark.skipif(not has_compiler(), reason="there is no compiler here")


def painter(*families: str, size: tuple[int, int] = SMALL) -> Painter:
    return Painter(families or tuple(FAMILIES), img_size=size)


def without_kernels(made: Painter) -> Painter:
    twin = replace(made)
    twin.__dict__["_kernels"] = None
    return twin


def seeds(*numbers: int) -> torch.Tensor:
    width = painter().z_dim
    return torch.cat([torch.from_numpy(np.random.RandomState(k).randn(1, width)).float() for k in numbers])


def levels(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    return (one - other).abs() * 127.5


# --- every family


@compiled
@pytest.mark.parametrize("family", FAMILIES)
def test_compiled_and_plain_agree(family: str) -> None:
    made = painter(family)
    ws, tables = made.mapping(seeds(1, 2)), made._noise_tables(None, 2)
    found = made._kernels
    assert found is not None
    for k in range(2):
        _, coarse = made._structure(ws[k : k + 1])
        parameters = made._parameters(ws[k : k + 1], coarse[0, 0])
        raster = Raster((110, 198), (120, 208))  # no sides that fit
        expected = plain.paint(family, parameters, tables[k : k + 1], raster)
        colour, glow = torch.empty(3, 120, 208), torch.empty(3, 30, 52)
        found.paint(family, parameters.native(0), tables[k], colour, glow, raster.size)
        torch.testing.assert_close(glow[None], plain.glowing(colour[None]), atol=1e-3, rtol=1e-3)
        picture = torch.empty(3, 110, 198)
        bloom = bloomed(glow[None])
        found.finish(parameters.native(0), colour, bloom[0], picture)
        difference = levels(picture, plain.finish(parameters, expected, bloom, raster.size)[0])
        assert difference.mean() < 0.1
        assert difference.quantile(0.999) < 2, "but for points at which a cell ends"


def without_libraries() -> None:
    for found in (kernels_module._library, kernels_module._shared):
        found.cache_clear()


FEATURES = {"x86-64": "sse2", "x86-64-v3": "avx2", "x86-64-v4": "avx512vl"}
"""What a processor must have for each width of registers: 4, 8 and 16 numbers."""


@compiled
@pytest.mark.parametrize("architecture", FEATURES)
def test_registers_of_each_width_paint_the_same(architecture: str, monkeypatch: pytest.MonkeyPatch) -> None:
    if FEATURES[architecture] not in build.chip().split():
        pytest.skip(f"this processor has no {FEATURES[architecture]}")
    flags = [f"-march={architecture}" if flag.startswith("-march") else flag for flag in build.FLAGS]
    monkeypatch.setattr(build, "FLAGS", tuple(flag.replace("-O3", "-O1") for flag in flags))
    without_libraries()
    try:
        test_compiled_and_plain_agree("ink")
    finally:
        without_libraries()


@pytest.mark.parametrize("family", FAMILIES)
def test_walks_have_no_jumps(family: str) -> None:
    made = painter(family)
    first, last = made.mapping(seeds(3, 4)).unbind()
    pictures = made.synthesis(first + (last - first) * torch.linspace(0, 1, 33)[:, None, None])
    steps = levels(pictures[1:], pictures[:-1]).mean((1, 2, 3))
    assert steps.max() < 3 * steps.mean()


@pytest.mark.parametrize("family", FAMILIES)
def test_each_group_of_latents_is_seen_and_so_is_the_noise(family: str) -> None:
    made = painter(family)
    first, last = made.mapping(seeds(5, 6)).unbind()
    for group, least in enumerate((6, 1.5, 3)):
        other = first.clone()
        other[group] = last[group]
        before, after = made.synthesis(torch.stack([first, other]))
        assert levels(before, after).mean() > least, f"group {group}"
    quiet = [torch.zeros(1, 1, *size) for size in made.noise_sizes]
    assert levels(made.synthesis(first[None], quiet), made.synthesis(first[None])).mean() > 0.2


@pytest.mark.parametrize("family", FAMILIES)
def test_a_larger_picture_shows_the_same(family: str) -> None:
    ws = painter(family).mapping(seeds(7))
    small, large = painter(family, size=(90, 160)).synthesis(ws), painter(family, size=(720, 1280)).synthesis(ws)
    shrunk = torch.nn.functional.interpolate(large, (90, 160), mode="area")
    assert levels(small, shrunk).mean() < 6


@pytest.mark.parametrize("family", FAMILIES)
def test_pictures_have_deep_blacks_and_lights_and_are_not_empty(family: str) -> None:
    made = painter(family, size=(72, 128))
    pictures = made.synthesis(made.mapping(seeds(*range(8))))
    assert pictures.isfinite().all()
    light = pictures.amax(1).flatten(1)
    assert (light.std(1) > 0.08).all(), "an empty picture"
    assert light.median() < 0.9


# --- the plane


@pytest.mark.parametrize("family", FAMILIES)
def test_a_wider_picture_shows_more_of_the_same_plane(family: str) -> None:
    """The middle of a wide picture is the square one, but for the noise maps, which span a picture, and its edges."""
    made = painter(family)
    ws = made.mapping(seeds(8))
    parameters = made._parameters(ws, made._structure(ws)[1][0, 0])
    still = torch.zeros(1, 2, 2)
    square, wide = (plain.paint(family, parameters, still, Raster((64, width), (64, width))) for width in (64, 128))
    torch.testing.assert_close(wide[..., 32:96], square, atol=1e-3, rtol=1e-3)


def test_sizes_of_maps_follow_the_picture() -> None:
    assert painter(size=(1080, 1920)).noise_sizes[0] == (4, 7) and painter(size=(1920, 1080)).noise_sizes[0] == (7, 4)
    assert painter().resized((100, 300)).img_size == (100, 300) and painter().widened((77, 33)) == (77, 33)
    with pytest.raises(RenderError, match="0x10"):
        painter().resized((10, 0))


def test_a_thread_of_a_picture_has_small_maps() -> None:
    made = painter(size=(2, 16_384))
    assert max(rows * columns for rows, columns in made.noise_sizes) < 2_000_000
    assert made.noise_sizes[0][0] >= 2
    assert bloomed(torch.ones(1, 3, 1, 4096)).numel() < 1_000_000
    narrow = painter(size=(2, 400))
    assert narrow.synthesis(narrow.mapping(seeds(1))).isfinite().all()


def test_light_blooms_by_the_same_share_of_a_picture_at_every_size() -> None:
    spot = torch.zeros(1, 3, 270, 480)
    spot[..., 120:150, 225:255] = 9
    small = torch.nn.functional.interpolate(spot, (90, 160), mode="area")
    large, shrunk = bloomed(spot), bloomed(small)
    assert large.shape == shrunk.shape == (1, 3, BLOOM_ROWS // 2, 160)
    assert (large - shrunk).abs().mean() < 0.03 * large.mean()


# --- the same pictures


def test_a_picture_does_not_depend_on_its_batch_or_on_threads() -> None:
    made = painter()
    ws = made.mapping(seeds(1, 2, 3))
    together = made.synthesis(ws)
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        apart = torch.cat([made.synthesis(one[None]) for one in ws])
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(together, apart)


def test_pixels_are_those_of_the_picture() -> None:
    made = painter()
    ws, noise = made.mapping(seeds(1)), [torch.zeros(1, 1, *size) for size in made.noise_sizes]
    pixels = made.frame_function("rgb24")(ws, noise)
    assert pixels.shape == (1, *SMALL, 3) and pixels.dtype == torch.uint8
    expected = made.synthesis(ws, noise).permute(0, 2, 3, 1).mul(127.5).add(127.5).round().clamp(0, 255)
    assert torch.equal(pixels, expected.to(torch.uint8))


@compiled
def test_frames_go_straight_to_yuv_as_the_picture_would() -> None:
    """The memory of the frame before is used again, and the number of threads does not matter."""
    made = painter(*list(FAMILIES)[:2], size=(722, 730))
    ws = made.mapping(seeds(1, 2), torch.eye(2))
    ws = torch.stack([ws[0], ws[1], (ws[0] + ws[1]) / 2])
    noise = [torch.randn(3, 1, *size, generator=torch.Generator().manual_seed(1)) for size in made.noise_sizes]
    frames, expected = made.frame_function("yuv420p"), to_pixels(made.synthesis(ws, noise), "yuv420p")
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        pixels = frames(ws, noise)
        torch.set_num_threads(1)
        apart = [frames(ws[k : k + 1], [one[k : k + 1] for one in noise]) for k in range(3)]
        assert torch.equal(pixels, torch.cat(apart))
    finally:
        torch.set_num_threads(threads)
    difference = (pixels.int() - expected.int()).abs()
    assert pixels.shape == (3, 722 * 730 * 3 // 2) and difference.max() <= 1
    assert difference.float().mean() < 1e-5, "but for roundings"
    frames.release()
    assert torch.equal(frames(ws, noise), pixels)


# --- latents


def test_a_seed_has_a_scheme_a_family_and_latents_of_its_own() -> None:
    made = painter()
    ws = made.mapping(seeds(*range(40)))
    shares, coarse = made._structure(ws)
    assert (shares.sum(1) == 1).all() and (shares.max(1).values == 1).all()
    if len(FAMILIES) > 3:
        assert len(set(shares.argmax(1).tolist())) > 3
    assert len(set(ws[:, 2, 8 : 8 + len(SCHEMES)].argmax(1).tolist())) > 15
    chosen = coarse[torch.arange(40), shares.argmax(1)]
    torch.testing.assert_close(chosen, seeds(*range(40))[:, :8].clamp(-2, 2))


def test_truncation_calms_forms_and_keeps_family_and_scheme() -> None:
    made = painter()
    full, none = made.mapping(seeds(1)), made.mapping(seeds(1), truncation_psi=0.0)
    assert torch.equal(made._structure(full)[0], made._structure(none)[0])
    assert torch.equal(full[:, 2, 8:], none[:, 2, 8:]) and not none[:, 1].any() and not none[:, 2, :8].any()


def test_a_palette_keeps_to_one_family() -> None:
    made = painter()
    for first in (0, 1, 5):
        shares, _ = made._structure(make_palette(Palette(seeds=(first, 77, 78, 79)), made))
        assert set(shares.argmax(1).tolist()) == {first % len(FAMILIES)}
    name = list(FAMILIES)[-1]
    shares, _ = made._structure(make_palette(Palette(seeds=(1, 2), family=name), made))
    assert set(shares.argmax(1).tolist()) == {len(FAMILIES) - 1}
    assert make_palette(Palette(seeds=(1, 2), family="nothing"), made).shape == (2, 3, made.w_dim)


def test_one_family_grows_through_another_without_a_jump() -> None:
    """Each keeps its own latents; the walk is even and begins and ends with the families themselves."""
    made = painter(*list(FAMILIES)[:2])
    classes = torch.eye(2)
    first, last = made.mapping(seeds(1, 2), classes)
    middle = (first + last) / 2
    shares, coarse = made._structure(middle[None])
    assert shares.tolist() == [[0.5, 0.5]]
    torch.testing.assert_close(coarse[0], seeds(1, 2)[:, :8].clamp(-2, 2))
    pictures = made.synthesis(first + (last - first) * torch.linspace(0, 1, 33)[:, None, None])
    steps = levels(pictures[1:], pictures[:-1]).mean((1, 2, 3))
    assert steps.max() < 4 * steps.mean()
    fade = (pictures[0] + pictures[-1]) / 2
    assert levels(pictures[16], fade).mean() > 4, "it is no cross-fade"


def test_a_family_grows_over_as_much_of_the_picture_as_its_share() -> None:
    """Nothing is there at the least share that is painted, so that it does not pop in."""
    raster = Raster((72, 128), (72, 128))
    blue, red = (torch.zeros(1, 3, 72, 128) for _ in range(2))
    blue[:, 2], red[:, 0] = 0.3, 0.3
    made = painter("ink")
    parameters = made._parameters(made.mapping(seeds(3))[:1], torch.zeros(8))

    def grown(share: float) -> float:
        shown = plain.reveal(parameters, torch.tensor([share]), blue, red, raster)
        return float((shown[:, 0] > shown[:, 2]).float().mean())

    assert grown(0.02) == 0 and grown(0.98) > 0.98
    assert grown(0.2) > 0.08 and grown(0.5) == pytest.approx(0.5, abs=0.12)
    assert 0.2 < grown(0.65) - grown(0.35) < 0.46, "it grows evenly"


@compiled
def test_compiled_and_plain_agree_on_two_families() -> None:
    made = painter(*list(FAMILIES)[:2])
    first, last = made.mapping(seeds(1, 2), torch.eye(2))
    ws = (0.6 * first + 0.4 * last)[None]
    difference = levels(made.synthesis(ws), without_kernels(made).synthesis(ws))
    assert difference.mean() < 0.1 and difference.quantile(0.999) < 2


@pytest.mark.parametrize("family", FAMILIES)
def test_gradients_reach_the_latents(family: str) -> None:
    """They are finite in flat places too, where the change from one pixel to the next is 0."""
    made = without_kernels(painter(family, size=(18, 32)))
    ws = made.mapping(seeds(1, 2, 3, 4)).requires_grad_()
    made.synthesis(ws).square().mean().backward()
    assert ws.grad is not None and ws.grad.isfinite().all()
    assert all(ws.grad[0, group].abs().max() > 1e-6 for group in range(3))


# --- colours


def test_schemes_are_colours_that_a_display_has() -> None:
    assert len(SCHEMES) == 40
    for name, stops in SCHEMES.items():
        lightness, chroma, hue = np.array(stops).T
        assert (np.diff(lightness) > 0).all(), name
        lab = torch.tensor(np.stack([lightness, chroma * np.cos(np.radians(hue)), chroma * np.sin(np.radians(hue))], 1))
        assert (linear_rgb(lab) < 1.35).all(), name


def test_a_single_scheme_is_shown_as_it_is() -> None:
    weights = torch.eye(len(SCHEMES))
    found = colours(weights, torch.zeros(len(SCHEMES)), torch.ones(len(SCHEMES)))
    for k, stops in enumerate(SCHEMES.values()):
        for stop, (lightness, chroma, hue) in enumerate(stops):
            expected = (lightness, chroma * math.cos(math.radians(hue)), chroma * math.sin(math.radians(hue)))
            assert found.ramp[k, 2 * stop].tolist() == pytest.approx(expected, abs=0.006)


def test_a_walk_between_schemes_moves_each_colour_evenly() -> None:
    first, last = torch.triu_indices(len(SCHEMES), len(SCHEMES), 1)
    way = torch.linspace(0, 1, 61)[None, :, None]
    ends = torch.eye(len(SCHEMES))[torch.stack([first, last])][:, :, None]
    weights = ends[0] * (1 - way) + ends[1] * way
    found = colours(weights, torch.zeros(weights.shape[:2]), torch.ones(weights.shape[:2]))
    for ramp in (found.ramp, found.tone):
        steps = (ramp[:, 1:] - ramp[:, :-1]).norm(dim=-1)  # differences in OKLab are about those that are seen
        assert (steps.amax(1) < 1.6 * steps.mean(1) + 1e-6).all()


def test_what_lies_between_two_schemes_is_vivid() -> None:
    names = list(SCHEMES)
    weights = torch.zeros(len(SCHEMES))
    weights[[names.index("ember night"), names.index("deep forest")]] = 0.5  # hues of the bodies: 32 and 145 degrees
    body = colours(weights, torch.zeros(()), torch.ones(())).ramp[4]
    ends = [torch.polar(torch.tensor(SCHEMES[name][2][1]), torch.deg2rad(torch.tensor(SCHEMES[name][2][2])))
            for name in ("ember night", "deep forest")]  # fmt: skip
    straight = float((ends[0] + ends[1]).abs()) / 2
    assert 1.1 * straight < float(body[1:].norm()) < float(torch.stack(ends).abs().mean())


# --- edges


def laid(below: float, above: float, coverage: float) -> float:
    """One light over another one, as the shaders' text lays it."""
    lights = (Vector((torch.tensor(light / 3),) * 3) for light in (below, above))
    made = parse((SHADERS / "common.glsl").read_text("utf-8"))["laid"](*lights, torch.tensor(coverage))
    return float(sum(made.parts))


def test_half_a_pixel_of_light_is_shown_half_as_bright() -> None:
    for below, above in ((0.0, 1.0), (1.0, 0.0), (0.2, 0.8), (0.5, 0.5)):
        wanted = ((below**0.5 + above**0.5) / 2) ** 2
        assert laid(below, above, 0.5) == pytest.approx(wanted, abs=1e-3)
        assert laid(below, above, 0.0) == pytest.approx(below)
        assert laid(below, above, 1.0) == pytest.approx(above)


# --- where painters come from


def test_names_stand_for_generators() -> None:
    family = next(iter(FAMILIES))
    assert named_source("painter") == PainterSource() and named_source(f"painter:{family}") == PainterSource(family)
    assert named_source("stylegan2") == BuiltinModel() == named_source("built-in")
    assert named_source("painter.pkl") is None and named_source("painter/model.pt") is None
    with pytest.raises(RenderError, match=f"did you mean '{family}'"):
        named_source(f"painter:{family}x")
    assert PainterSource().sha256 != PainterSource(family).sha256 == PainterSource(family).carried().sha256
    made = open_generator(f"painter:{family}", device="cpu").generator
    assert isinstance(made, Painter) and made.families == (family,) and made.c_dim == 0
    whole = open_generator("painter", device="cpu").generator
    assert whole.c_dim == (len(FAMILIES) if len(FAMILIES) > 1 else 0) and whole.img_size == (1080, 1920)


def test_without_a_compiler_there_is_one_warning_and_the_same_picture(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CXX", "no-such-compiler")
    monkeypatch.setattr(kernels_module.build, "_cached", lambda cache, prefix: None)
    without_libraries()
    family = next(iter(FAMILIES))
    try:
        with pytest.warns(RuntimeWarning, match="no C\\+\\+ compiler was found") as told:
            made = painter(family, size=(16, 24))
            pictures = made.synthesis(made.mapping(seeds(1, 2)))
            assert "plain" in made.fingerprint
        assert len(told) == 1
    finally:
        without_libraries()
    assert pictures.shape == (2, 3, 16, 24) and pictures.isfinite().all()


def test_compiled_kernels_can_be_demanded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kernels_module, "_shared", lambda: "there is no compiler")
    monkeypatch.setenv("STYLEGAN_OPS", "compiled")
    with pytest.raises(RenderError, match="there is no compiler"):
        _ = painter().fingerprint
    monkeypatch.setenv("STYLEGAN_OPS", "reference")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert "plain" in painter().fingerprint


def test_buffers_are_checked() -> None:
    found = choice.kernels()
    needs_compiler()
    assert found is not None
    made = painter(next(iter(FAMILIES)))
    ws = made.mapping(seeds(1))
    parameters = made._parameters(ws, made._structure(ws)[1][0, 0]).native(0)
    with pytest.raises(ValueError, match="do not fit"):
        found.finish(parameters, torch.empty(3, 8, 8), torch.empty(3, 4, 4), torch.empty(3, 12, 8))
    with pytest.raises(ValueError, match="do not fit"):
        pixels = torch.empty(7 * 8 * 3 // 2, dtype=torch.uint8)
        found.finish_yuv(parameters, torch.empty(3, 8, 8), torch.empty(3, 4, 4), pixels, (7, 8))
    with pytest.raises(ValueError, match="float32"):
        found.finish(parameters, torch.empty(3, 8, 8).double(), torch.empty(3, 4, 4), torch.empty(3, 8, 8))


def test_the_families_that_recipes_name_are_there() -> None:
    from audioreactive.patches.presets import load_preset, shipped_presets
    from audioreactive.patches.randomizer import LEAD_FAMILIES

    named = {palette.family for name in shipped_presets() for palette in load_preset(name).palettes()}
    assert {*LEAD_FAMILIES, *(family for family in named if family)} <= set(FAMILIES)
