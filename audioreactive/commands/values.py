"""Types of values on the command line: text -> a checked value, or one sentence."""

from __future__ import annotations

import math
import os
import re
import secrets
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from audioreactive.errors import AudioReactiveError, did_you_mean, shown

if TYPE_CHECKING:
    from collections.abc import Callable


class LocalPath(click.Path):
    """A file or folder on this computer; a web address gets its own error message."""

    def __init__(self) -> None:
        super().__init__(path_type=Path)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text -> Path."""
        from audioreactive._support.files import as_path, is_web_address

        if value == "":
            self.fail("the name of a file is empty", param, ctx)
        if is_web_address(value):
            self.fail(
                f"{shown(str(value))} is a web address: download it, and give the file on this computer", param, ctx
            )
        return super().convert(as_path(value), param, ctx)


FOLDER = "audioreactive.output_is_a_folder"
"""Key of a command's `meta` that is there if its output was given with a slash behind it."""


class OutputPath(LocalPath):
    """A file or folder to write; a slash behind its name says that it is a folder, whatever dots the name has."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text -> Path, which keeps no slash; the context's `meta` does."""
        if ctx is not None and isinstance(value, str) and value.endswith(("/", os.sep)):
            ctx.meta[FOLDER] = True
        return super().convert(value, param, ctx)


class ModelFile(LocalPath):
    """A model's file. As an argument, the network that ships may be named; other generators have no file."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text -> Path."""
        from audioreactive.generators.sources import BuiltinModel, named_source

        path = super().convert(value, param, ctx)
        named = None if os.path.lexists(path) else _converted(self, named_source, value, param, ctx)
        if isinstance(named, BuiltinModel) and isinstance(param, click.Argument) and ctx is not None:
            return ctx.with_resource(named.opened())
        if named is not None:
            remedy = "leave --model out" if isinstance(param, click.Option) else "give a model's file"
            self.fail(f"{shown(str(value))} is a generator of the program itself, not a file: {remedy}", param, ctx)
        return path


class Choice(click.Choice):
    """One of several words; the error for another word suggests the closest one."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text -> one of the words."""
        try:
            return super().convert(value, param, ctx)
        except click.BadParameter as error:
            self.fail(error.message.rstrip(".") + did_you_mean(str(value), map(str, self.choices)), param, ctx)


PATH = LocalPath()

MOST_SEEDS = 1024
LARGEST_SEED = 2**32 - 1
LARGEST_WEIGHT = 1000.0


class FrameRate(click.ParamType):
    """Frames a second as an exact fraction."""

    name = "N|N/D"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        """Text -> Fraction."""
        from audioreactive.pipeline.listening import parse_frame_rate

        return value if isinstance(value, Fraction) else _converted(self, parse_frame_rate, value, param, ctx)


class Size(click.ParamType):
    """Width and height in pixels, or a name for them."""

    name = "NAME|WxH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, int]:
        """Text -> (width, height)."""
        from audioreactive.generators import parse_size

        return value if isinstance(value, tuple) else _converted(self, parse_size, value, param, ctx)


class Time(click.ParamType):
    """A time in the song: seconds, minutes:seconds or hours:minutes:seconds."""

    name = "SECONDS|M:S"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Fraction:
        """Text -> seconds."""
        if isinstance(value, Fraction):
            return value
        from audioreactive._support.exact import exact_time

        try:
            return exact_time(str(value))
        except ValueError:
            self.fail(f"{shown(value)} is not a time, such as 95, 95.5 or 1:35", param, ctx)


class Amount(click.ParamType):
    """A size, a bit rate or a deadline, by the function that reads it."""

    def __init__(self, name: str, parse: Callable[[str], Any]) -> None:
        self.name, self._parse = name, parse

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Text -> number."""
        return _converted(self, self._parse, value, param, ctx) if isinstance(value, str) else value


MOST_DIGITS = 20
"""Most digits of a number. More are beyond every range here, and Python refuses to convert thousands."""


def _number(text: str) -> int | None:
    """Decimal digits -> number; None for anything else, and for numbers beyond every range."""
    return int(text) if text.isascii() and text.isdecimal() and len(text.lstrip("0")) <= MOST_DIGITS else None


class WholeNumber(click.IntRange):
    """A whole number within a range; other values give a short error message."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Text -> number."""
        text = str(value).strip() if not isinstance(value, int) else ""
        if text and _number(text.removeprefix("-").removeprefix("+")) is None:
            self.fail(f"{shown(value)} is not a whole number{self._within()}", param, ctx)
        number: int = super().convert(value, param, ctx)
        return number

    def _within(self) -> str:
        if self.min is not None and self.max is not None:
            return f" from {self.min:.0f} to {self.max:.0f}"
        return f" of at least {self.min:.0f}" if self.min is not None else ""


class RealNumber(click.FloatRange):
    """A finite number within a range; other values give a short error message."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        """Text -> number."""
        try:
            finite = str(value).isascii() and math.isfinite(float(value))
        except (ValueError, OverflowError):
            finite = False
        if not finite:
            self.fail(f"{shown(value)} is not a number from {self.min:g} to {self.max:g}", param, ctx)
        number: float = super().convert(value, param, ctx)
        return number


class TempoRange(click.ParamType):
    """A range of tempi in which the tempo of a song is searched."""

    name = "LOW-HIGH"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[float, float]:
        """Text such as "100-180" -> (low, high) beats per minute."""
        from audioreactive.features.tempo import parse_tempo_range

        return value if isinstance(value, tuple) else _converted(self, parse_tempo_range, value, param, ctx)


class SeedList(click.ParamType):
    """Seed numbers and ranges of them, as StyleGAN users share them."""

    name = "SEEDS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[int, ...]:
        """Text such as "66,230,389-400" -> all seeds, in order."""
        if isinstance(value, tuple):
            return value
        seeds: list[int] = []
        for item in str(value).split(","):
            first, dash, last = item.strip().partition("-")
            low, high = _number(first), _number(last if dash else first)
            if low is None or high is None:
                self.fail(f"{shown(value)} is not a list of seeds, such as 66,230,389-400", param, ctx)
            if high < low or high > LARGEST_SEED:
                self.fail(f"{shown(item)} does not run upwards within 0 to {LARGEST_SEED}", param, ctx)
            if len(seeds) + high - low >= MOST_SEEDS:
                self.fail(f"{shown(value)} names more than {MOST_SEEDS} seeds", param, ctx)
            seeds += range(low, high + 1)
        return tuple(seeds)


class PaletteList(SeedList):
    """Vectors of a palette: seeds, and own pictures that were imported."""

    name = "SEEDS"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[Any, ...]:
        """Text such as "66,w:0123456789abcdef/0-3" -> all entries, in order."""
        if isinstance(value, tuple):
            return value
        from audioreactive.patches.fields import OWN_PICTURE

        several = re.compile(rf"{OWN_PICTURE.pattern}(?:-(\d{{1,4}}))?")
        entries: list[int | str] = []
        for item in str(value).split(","):
            match = several.fullmatch(item.strip())
            if match is None:
                entries += super().convert(item, param, ctx)
            else:
                first = int(match[2] or 0)
                last = int(match[3] or first)
                if last < first:
                    self.fail(f"{shown(item)} does not run upwards", param, ctx)
                entries += [f"w:{match[1]}/{at}" for at in range(first, last + 1)]
            if len(entries) > MOST_SEEDS:
                self.fail(f"{shown(value)} names more than {MOST_SEEDS} seeds", param, ctx)
        return tuple(entries)


class Seed(click.ParamType):
    """One seed, or `random`."""

    name = "N|random"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """Text -> seed; `random` rolls one."""
        if isinstance(value, int):
            return value
        if value == "random":
            return secrets.randbelow(10**6)  # short enough to be told to a friend
        number = _number(str(value).strip())
        if number is None or number > LARGEST_SEED:
            self.fail(f"{shown(value)} is neither random nor a number from 0 to {LARGEST_SEED}", param, ctx)
        return number


class Stem(click.ParamType):
    """A stem of the user's: a name for its features, and a file."""

    name = "NAME=FILE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, Path]:
        """Text -> (name, path)."""
        from audioreactive.features.names import EVERY_FEATURE, SOURCES

        if isinstance(value, tuple):
            return value
        name, equals, file = str(value).partition("=")
        if not equals or not name.isidentifier() or not file:
            self.fail(f"{shown(value)} is not NAME=FILE, such as drums=drums.wav", param, ctx)
        if name in SOURCES or name in EVERY_FEATURE:
            self.fail(
                f"a stem cannot be called {shown(name)}: the program has a source or feature of that name", param, ctx
            )
        return name, PATH.convert(file, param, ctx)


class FeatureWeight(click.ParamType):
    """Weight of a feature for a synthesizer."""

    name = "NAME=WEIGHT"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, float]:
        """Text such as "onsets=10" -> (name, weight)."""
        from audioreactive.patches.fields import SCORED

        if isinstance(value, tuple):
            return value
        name, _, number = str(value).partition("=")
        if name not in SCORED:
            close = did_you_mean(name, SCORED)
            self.fail(
                f"there is no feature {shown(name)} to weigh{close or ';'} there are {', '.join(SCORED)}", param, ctx
            )
        try:
            weight = float(number)
        except ValueError:
            weight = -1.0
        if not 0 <= weight <= LARGEST_WEIGHT:
            self.fail(f"{shown(value)} is not NAME=WEIGHT with a weight from 0 to 1000, such as onsets=10", param, ctx)
        return name, weight


class Model(click.ParamType):
    """A model file, or the name of a generator; a file of such a name is given as ./NAME."""

    name = "model"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Path | str:
        """Return the name of a generator as text, and everything else as a path."""
        from audioreactive.generators.sources import close_name, named_source

        if isinstance(value, Path):
            return value
        if _converted(self, named_source, value, param, ctx) is not None:
            return str(value)
        path: Path = PATH.convert(value, param, ctx)
        if not os.path.lexists(path) and (close := close_name(str(value))):
            self.fail(f"there is no model file {shown(str(value))}{close}", param, ctx)
        return path


def model_file(model: Path | str | None) -> Path | None:
    """The file of a model; None for a generator that is given by name."""
    return model if isinstance(model, Path) else None


def _converted(
    kind: click.ParamType, parse: Callable[[str], Any], value: Any, param: click.Parameter | None, ctx: Any
) -> Any:
    try:
        return parse(str(value))
    except AudioReactiveError as error:
        kind.fail(str(error), param, ctx)
