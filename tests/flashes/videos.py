"""Videos that break a rule or keep to it: (n, H, W, 3) sRGB, four seconds or so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from fractions import Fraction

    Colour = tuple[int, int, int]

SIDE = 48
"""Pixels: at this size a pixel is a cell of the measurement."""
RED, DARK_GREY = (255, 0, 0), (60, 60, 60)


def code(light: np.ndarray) -> np.ndarray:
    """Linear light -> sRGB."""
    light = np.clip(light, 0, 1)
    return np.round(255 * np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055)).astype(
        np.uint8
    )


def flat(trace: np.ndarray, side: int = SIDE) -> np.ndarray:
    """Linear luminance over time -> a grey video."""
    return np.broadcast_to(code(np.asarray(trace))[:, None, None, None], (len(trace), side, side, 3)).copy()


def square_wave(fps: Fraction, hertz: float, low: float, high: float, seconds: float = 1.25, rest: float = 0.2):
    """A second and a quarter of rest, as much of flashes, and rest again; linear luminance."""
    times = np.arange(int(seconds * fps)) / float(fps)
    flashes = np.where((times * hertz + 1e-9) % 1 < 0.5, high, low)
    calm = np.full(int(1.25 * fps), rest)
    return np.concatenate([calm, flashes, calm])


def region(trace: np.ndarray, share: tuple[float, float], base: float = 0.2, side: int = SIDE) -> np.ndarray:
    """A part of the picture, of these shares of height and width, follows the trace; the rest stays."""
    frames = flat(np.full(len(trace), base), side)
    rows, columns = round(share[0] * side), round(share[1] * side)
    frames[:, 5 : 5 + rows, 7 : 7 + columns] = flat(trace, side)[:, :rows, :columns]
    return frames


def strobe(fps: Fraction) -> np.ndarray:
    return flat(square_wave(fps, 10, 0.0, 1.0))


def soft_strobe(fps: Fraction) -> np.ndarray:
    return flat(square_wave(fps, 8, 0.4, 0.6, rest=0.5))


def quarter_area(fps: Fraction) -> np.ndarray:
    return region(square_wave(fps, 8, 0.05, 0.7), (0.5, 0.5))


def checkerboard(fps: Fraction) -> np.ndarray:
    """Squares of four cells in opposite phase."""
    trace = square_wave(fps, 7, 0.1, 0.5)
    opposite = square_wave(fps, 7, 0.5, 0.1)
    squares = (np.add.outer(np.arange(SIDE) // 4, np.arange(SIDE) // 4) % 2).astype(bool)
    return np.where(squares[None, :, :, None], flat(trace), flat(opposite))


def in_turn(fps: Fraction) -> np.ndarray:
    """Left and right each flash three times a second, never together."""
    one = square_wave(fps, 3, 0.1, 0.7, rest=0.1)
    other = np.roll(one, round(fps / 6))
    return np.concatenate([flat(one)[:, :, : SIDE // 2], flat(other)[:, :, SIDE // 2 :]], axis=2)


def three_in_turn(fps: Fraction) -> np.ndarray:
    """Three parts flash twice a second each, one after the other, above what stays bright."""
    times = np.arange(int(4 * fps)) / float(fps)
    film = np.empty((len(times), SIDE, SIDE, 3), np.uint8)
    for part in range(3):
        since = times - part / 6
        on = (since >= 0) & ((since * 2) % 1 < 1 / 6)
        film[:, :, part * SIDE // 3 : (part + 1) * SIDE // 3] = np.where(on, 230, 90)[:, None, None, None]
    before, after = (np.repeat(end, int(3.4 * fps), axis=0) for end in (film[:1], film[-1:]))
    film = np.concatenate([before, film, after])
    film[:, 40:] = 230
    return film


def red_strobe(fps: Fraction) -> np.ndarray:
    """Between red and grey of the same luminance: no general flash."""
    on = square_wave(fps, 8, 0, 1, rest=0) > 0.5
    grey = code(np.full(3, 0.2126))
    return np.broadcast_to(np.where(on[:, None], RED, grey)[:, None, None], (len(on), SIDE, SIDE, 3)).astype(np.uint8)


def red_and_dark(fps: Fraction) -> np.ndarray:
    """Both kinds at once."""
    on = square_wave(fps, 8, 0, 1, rest=0) > 0.5
    colours = np.where(on[:, None], RED, DARK_GREY)
    return np.broadcast_to(colours[:, None, None], (len(on), SIDE, SIDE, 3)).astype(np.uint8)


def four_unaligned(fps: Fraction) -> np.ndarray:
    """Four flashes within 0.9 seconds, astride of a whole second; nothing else."""
    trace = np.full(int(4 * fps), 0.1)
    for flash in range(4):
        first = int((1.55 + 0.25 * flash) * fps)
        trace[first : first + max(int(fps / 12), 1)] = 0.8
    return flat(trace)


def split_ramps(fps: Fraction) -> np.ndarray:
    """Five flashes a second that take several frames to rise and to fall."""
    times = np.arange(int(2 * fps)) / float(fps)
    wave = 0.35 - 0.3 * np.cos(2 * np.pi * 5 * times)
    calm = np.full(int(1.5 * fps), 0.05)
    return flat(np.concatenate([calm, wave, calm]))


def faster_and_faster(fps: Fraction) -> np.ndarray:
    times = np.arange(int(5 * fps)) / float(fps)
    return flat(np.where(np.sin(2 * np.pi * (times + times**2)) > 0, 0.6, 0.1))


def texture_strobe(fps: Fraction) -> np.ndarray:
    """A picture, brighter and darker; more pixels than cells."""
    side = 60
    y, x = np.mgrid[:side, :side] / side
    paint = np.stack([0.5 + 0.4 * np.sin(9 * x + 5 * y), 0.5 + 0.4 * np.cos(7 * x * y + 3), 0.4 + 0.3 * x], -1)
    trace = square_wave(fps, 6, 0.15, 0.9, rest=0.5)
    return code(trace[:, None, None, None] * paint)


COLOURS = {
    "red, black": ((255, 0, 0), (0, 0, 0)),
    "dark red, black": ((45, 0, 0), (0, 0, 0)),
    "red, blue": ((255, 0, 0), (0, 0, 255)),
    "dark red, dark blue": ((90, 0, 0), (0, 0, 60)),
    "red, green": ((255, 0, 0), (0, 200, 0)),
    "orange, black": ((255, 90, 0), (0, 0, 0)),
    "blue, black": ((80, 80, 255), (0, 0, 0)),
    "magenta, black": ((255, 0, 255), (0, 0, 0)),
    "magenta, red": ((255, 0, 255), (255, 0, 0)),
    "crimson, white": ((220, 20, 60), (255, 255, 255)),
}
"""Pairs of strong colours, all of which flash when they take turns."""


def two_colours(one: Colour, other: Colour, *, period: int, phase: int, frames: int = 48, side: int = 8) -> np.ndarray:
    """They take turns after half a period of so many frames; in the right half of the picture `phase` frames later."""
    on = (np.arange(frames) // (period // 2)) % 2 == 0
    film = np.empty((frames, side, side, 3), np.uint8)
    for columns, turn in ((slice(side // 2), on), (slice(side // 2, side), np.roll(on, phase))):
        film[:, :, columns] = np.where(turn[:, None], one, other)[:, None, None]
    return film


BAD: dict[str, tuple[Callable[[Fraction], np.ndarray], set[str]]] = {
    "strobe": (strobe, {"general"}),
    "soft strobe": (soft_strobe, {"general"}),
    "quarter area": (quarter_area, {"general"}),
    "checkerboard": (checkerboard, {"general"}),
    "in turn": (in_turn, {"general"}),
    "red strobe": (red_strobe, {"red"}),
    "red and dark": (red_and_dark, {"general", "red"}),
    "four unaligned": (four_unaligned, {"general"}),
    "split ramps": (split_ramps, {"general"}),
    "faster and faster": (faster_and_faster, {"general"}),
    "texture strobe": (texture_strobe, {"general"}),
}


def three_a_second(fps: Fraction) -> np.ndarray:
    return flat(square_wave(fps, float(fps) / (2 * -(-fps // 6)), 0.0, 1.0, rest=0.0))


def below_the_step(fps: Fraction) -> np.ndarray:
    return flat(square_wave(fps, 10, 0.5, 0.59, rest=0.5))


def above_the_dark(fps: Fraction) -> np.ndarray:
    return flat(square_wave(fps, 10, 0.82, 1.0, rest=0.9))


def small_area(fps: Fraction) -> np.ndarray:
    """Just under a quarter of ten degrees: 9 x 9 cells of a field of 16 x 21."""
    return region(square_wave(fps, 10, 0.0, 1.0), (9 / SIDE, 9 / SIDE))


def slow_fades(fps: Fraction) -> np.ndarray:
    times = np.arange(int(5 * fps)) / float(fps)
    return flat(0.5 - 0.5 * np.cos(2 * np.pi * times))


def one_cut(fps: Fraction) -> np.ndarray:
    trace = np.full(int(3 * fps), 0.05)
    trace[int(1.5 * fps) :] = 0.9
    return flat(trace)


def dim_red(fps: Fraction) -> np.ndarray:
    """Brick and grey: not saturated."""
    on = square_wave(fps, 8, 0, 1, rest=0) > 0.5
    colours = np.where(on[:, None], (160, 90, 80), (110, 110, 110))
    return np.broadcast_to(colours[:, None, None], (len(on), SIDE, SIDE, 3)).astype(np.uint8)


def moving_stripes(fps: Fraction) -> np.ndarray:
    """Bright and dark, each twelve degrees wide, passing two in a second."""
    shift = np.arange(int(4 * fps)) / float(fps)
    x = np.arange(SIDE) / SIDE
    wave = 0.4 + 0.35 * np.sin(2 * np.pi * (x[None, :] * 2 - shift[:, None]))
    return np.broadcast_to(code(wave)[:, None, :, None], (len(wave), SIDE, SIDE, 3)).copy()


GOOD: dict[str, Callable[[Fraction], np.ndarray]] = {
    "three a second": three_a_second,
    "below the step": below_the_step,
    "above the dark": above_the_dark,
    "small area": small_area,
    "slow fades": slow_fades,
    "one cut": one_cut,
    "dim red": dim_red,
    "moving stripes": moving_stripes,
}
