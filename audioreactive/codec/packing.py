"""The whole way: a clip to a file that holds a network, and back to a video.

A fit that is cut short goes on: its state lies beside the output in `.NAME.packing` until the file is finished.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import time
from dataclasses import dataclass
from fractions import Fraction
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from audioreactive._support.entries import BAD_ENTRY, read_entry, write_entry
from audioreactive._support.files import shortened, write_aside
from audioreactive.codec.analysis import analyse
from audioreactive.codec.clip import FASTEST, SLOWEST
from audioreactive.codec.container import Archive, archive_bytes
from audioreactive.codec.entropy import range_coder
from audioreactive.codec.fitting import PIXELS_AT_ONCE, Fit, suited, weight_for
from audioreactive.codec.grids import LARGEST_VALUE, GridNetwork, Layout
from audioreactive.codec.metrics import psnr
from audioreactive.codec.network import decoder_bytes, described, read_network, read_picture, rounded, sections_of
from audioreactive.codec.sound import good_opus
from audioreactive.errors import CodecError
from audioreactive.progress import Progress, Silent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from pathlib import Path

    import torch
    from numpy.typing import NDArray

    from audioreactive.codec.clip import Clip

KIND: Final = "network"
WEIGHT: Final = 5e-4
"""Squared error, in units of the full scale, that a bit a pixel may cost if no size is asked for."""
PASSES: Final = 36
"""Times that a fit sees each frame of a long clip."""
MORE_PASSES: Final = 180
"""The same of a short one, up to `SOME_STEPS`."""
SOME_STEPS: Final = 900
FEWEST_STEPS: Final = 300
HEAD_ROOM: Final = 40
"""Bytes by which a header may grow when its numbers are known."""
SMALLEST_GRIDS: Final = 600
"""Bytes for the grids below which no file is asked for."""
SAVED_SECONDS: Final = 60.0
"""Seconds between two states that are kept."""
REPORTS: Final = 8
SOUND_SHARE: Final = 0.35
"""Most of a file's size that its sound takes if a size is asked for."""
NOISY_ROOM: Final = 1.06
"""Bytes that the numbers may take while there is noise on them, in units of what they may take at last: rounding and
slow steps lower them a little."""
MEASURES: Final = 8
"""Times that the numbers are coded during a fit, to see how many bytes they take."""
STEERING: Final = 0.7
"""Exponent with which the weight follows these bytes."""
FINER: Final = (1.0, 2.0)
"""Bounds of the factor by which numbers become finer at last if bytes are left."""
FINER_TRIES: Final = 5
FULL: Final = 0.985
"""Share of the bytes from which they count as used."""
SEEN_FRAMES: Final = 12
"""Frames by which it is judged whether finer numbers are better."""
LARGEST_GAP: Final = 2048.0
"""Magnitude below which numbers become 0 at most."""
GAPS: Final = 10
"""Magnitudes that are tried."""
LARGEST_STATE: Final = 1 << 31
_MAGIC: Final = b"audioreactive packing 1\n"
LARGEST_SOUND: Final = 64 << 20
LARGEST_DECODER: Final = 1 << 20
LARGEST_GRIDS: Final = 1 << 28


@dataclass(frozen=True)
class PackSettings:
    """Settings of a fit."""

    size: int | None = None
    """Bytes that the file may have; None: as small as `WEIGHT` makes it."""
    effort: float = 1.0
    """Factor of the number of steps."""
    seed: int = 0


@dataclass(frozen=True)
class Packed:
    """Result of packing."""

    path: Path
    bytes: int
    psnr: float
    """PSNR in dB of the decoded picture."""
    sound_psnr: float | None
    sound_bytes: int
    finished: bool
    """Whether the fit took all its steps."""


def pack(clip: Clip, output: Path, settings: PackSettings = PackSettings(), progress: Progress | None = None) -> Packed:
    """Fit a network to a clip and write the file; a fit of the same clip and settings that was cut short goes on.

    An interrupt leaves the best so far in the file, and a note on the exception.

    Raises:
        CodecError: the size that is asked for is too small, or a package is missing.
    """
    range_coder()  # which is needed at last, is known to be there at once
    return _Packing(clip, output, settings, progress or Silent()).run()


class _Packing:
    def __init__(self, clip: Clip, output: Path, settings: PackSettings, progress: Progress) -> None:
        self.clip, self.output, self.settings, self.progress = clip, output, settings, progress
        count, (width, height) = len(clip.frames), clip.size
        self.pixels = count * width * height
        drawn = min(max(PIXELS_AT_ONCE // (width * height), 1), count)
        once = count / drawn
        steps = max(PASSES * once, min(MORE_PASSES * once, SOME_STEPS), FEWEST_STEPS)
        self.steps = max(round(settings.effort * steps), 8)
        told = f"{clip.digest()} {settings.size} {settings.effort} {settings.seed} {self.steps}"
        self.key = hashlib.sha256(told.encode()).hexdigest()
        self.measured = {math.ceil(self.steps * k / MEASURES) for k in range(1, MEASURES)}
        """Steps after which the numbers are coded, if a size is asked for."""
        self.sound, self.sound_psnr = self._coded_sound()
        progress.say("looking at what moves")
        plain = GridNetwork(Layout(count, clip.size))
        layout = suited(clip.frames, WEIGHT, None if settings.size is None else self._room(plain))
        room = None if settings.size is None else self._room(GridNetwork(layout))
        pyramid = analyse(clip.frames, layout)
        weight = WEIGHT if room is None else weight_for(pyramid, room)
        self.fit = self._begun(
            lambda: Fit(clip.frames, steps=self.steps, weight=weight, seed=settings.seed, pyramid=pyramid)
        )

    def _begun(self, fresh: Callable[[], Fit]) -> Fit:
        """The fit that was cut short, or else a fresh one."""
        fit, kept = fresh(), _kept(self.output)
        if kept is None or _key(kept) != self.key:
            return fit
        try:
            fit.restore(kept)
        except (*BAD_ENTRY, RuntimeError, AttributeError):
            return fresh()
        self.progress.say(f"going on at step {fit.done} of {self.steps}")
        return fit

    def run(self) -> Packed:
        try:
            self._fit()
        except (KeyboardInterrupt, SystemExit) as interrupt:
            self._save()
            packed = self._write(self._so_far(), finished=False)
            interrupt.add_note(
                f"{self.output} holds the best so far ({packed.psnr:.1f} dB in {packed.bytes} bytes); the same command "
                "goes on"
            )
            raise
        packed = self._write(self._fitting(), finished=True)
        state_path(self.output).unlink(missing_ok=True)
        return packed

    def _coded_sound(self) -> tuple[bytes, float | None]:
        if self.clip.sound is None:
            return b"", None
        size = self.settings.size
        self.progress.say("coding the sound as Opus")
        return good_opus(self.clip.sound, most_bytes=None if size is None else int(SOUND_SHARE * size))

    def _room(self, network: GridNetwork) -> int:
        """Bytes for the grids of a network, if a size is asked for."""
        assert self.settings.size is not None
        besides = self._besides(network)
        room = self.settings.size - len(self.sound) - besides
        if room < SMALLEST_GRIDS:
            raise CodecError(
                f"{self.settings.size} bytes are too few: the sound takes {len(self.sound)} and the decoder "
                f"{besides}; give at least {len(self.sound) + besides + SMALLEST_GRIDS}"
            )
        return room

    def _besides(self, network: GridNetwork) -> int:
        """Bytes of all but the grids and the sound: the decoder and the header."""
        sections = {"grids": b"", "decoder": decoder_bytes(network)}
        return len(archive_bytes(self._header(network), self._whole(sections))) - len(self.sound) + HEAD_ROOM

    def _fit(self) -> None:
        fit, saved, shown = self.fit, time.monotonic(), 0
        errors: list[float] = []
        with self.progress.track("fitting", self.steps, "step") as advance:
            advance(fit.done)
            while fit.done < self.steps:
                error, bits = fit.step()
                errors.append(error)
                if self.settings.size is not None and fit.done in self.measured:
                    self._steer(len(self._sections()["grids"]))
                advance(1)
                if fit.done * REPORTS // self.steps > shown:
                    shown = fit.done * REPORTS // self.steps
                    decibels = -10 * math.log10(max(float(np.mean(errors[-len(self.clip.frames) :])), 1e-15))
                    size = len(self.sound) + self._besides(fit.network) + bits * self.pixels / 8
                    steps = f"{fit.done} step{'' if fit.done == 1 else 's'}"
                    self.progress.say(f"{decibels:.1f} dB in about {size / 1000:.0f} KB after {steps}")
                if time.monotonic() - saved > SAVED_SECONDS:
                    self._save()
                    saved = time.monotonic()

    def _steer(self, size: int) -> None:
        """Move the weight so that the grids, which have `size` bytes now, have those that are asked for at last."""
        wanted = self._room(self.fit.network) * (NOISY_ROOM if self.fit.is_noisy else 1.0)
        self.fit.weight = float(np.clip(self.fit.weight * (size / wanted) ** STEERING, 1e-7, 1.0))

    def _fitting(self) -> dict[str, bytes]:
        """Sections that fit into the size and use it: if need be, small numbers become 0, or all become finer."""
        made = self._sections()
        if self.settings.size is None:
            return made
        room = self._room(self.fit.network)
        if len(made["grids"]) > room:
            return self._smaller(room)
        return made if len(made["grids"]) >= FULL * room else self._finer(room, made)

    def _so_far(self) -> dict[str, bytes]:
        """What `_fitting` gives, or too much if nothing fits yet."""
        try:
            return self._fitting()
        except CodecError:
            return self._sections()

    def _smaller(self, room: int) -> dict[str, bytes]:
        """Sections without the numbers that are nearest to 0."""
        grids = self.fit.network.grids
        whole = [grid.data.clone() for grid in grids]
        low, high, found = 0.5, LARGEST_GAP, None
        for _ in range(GAPS):
            gap = math.sqrt(low * high)
            for grid, values in zip(grids, whole, strict=True):
                grid.data.copy_(values.where(values.abs() >= gap, 0.0))
            made = self._sections()
            if len(made["grids"]) <= room:
                found, high = made, gap
                kept = [grid.data.clone() for grid in grids]
            else:
                low = gap
        if found is None:
            raise CodecError(f"the clip does not fit into {self.settings.size} bytes: give more, or a smaller --side")
        for grid, values in zip(grids, kept, strict=True):
            grid.data.copy_(values)
        return found

    def _finer(self, room: int, made: dict[str, bytes]) -> dict[str, bytes]:
        """Sections with as much finer steps as there is room for, if the picture is closer by them."""
        network = self.fit.network
        whole, units, before = [grid.data.clone() for grid in network.grids], network.units.clone(), self._seen_psnr()
        low, high = FINER
        best = 1.0, made
        for _ in range(FINER_TRIES):
            factor = math.sqrt(low * high)
            self._scale(whole, units, factor)
            tried = self._sections()
            if len(tried["grids"]) <= room:
                low, best = factor, (factor, tried)
            else:
                high = factor
        self._scale(whole, units, best[0])
        if self._seen_psnr() > before:
            return best[1]
        self._scale(whole, units, 1.0)
        return made

    def _scale(self, whole: Sequence[torch.Tensor], units: torch.Tensor, factor: float) -> None:
        network = self.fit.network
        kinds = [kind for kind, parts in network.layout.parts.items() for _ in parts]
        for grid, values, kind in zip(network.grids, whole, kinds, strict=True):
            grown = values if kind in ("light", "motion") else values * factor
            grid.data.copy_(grown.clamp(-LARGEST_VALUE, LARGEST_VALUE))
        network.units.copy_(units / factor)

    def _seen_psnr(self) -> float:
        """PSNR in dB of some frames as a file would give them back."""
        network, last = rounded(self.fit.network), max(len(self.clip.frames) - 1, 1)
        some = np.unique(np.linspace(0, len(self.clip.frames) - 1, SEEN_FRAMES).astype(int))
        made = np.stack([network.picture(i / last, self.clip.size).numpy() for i in some])
        return psnr(self.clip.frames[some], made)

    def _sections(self) -> dict[str, bytes]:
        return sections_of(self.fit.network)

    def _write(self, sections: Mapping[str, bytes], *, finished: bool) -> Packed:
        frames = self.clip.frames
        data = archive_bytes(self._header(self.fit.network), self._whole(sections))
        with write_aside(self.output) as file:
            file.write(data)
        network = rounded(self.fit.network)
        made = np.stack(
            [network.picture(i / max(len(frames) - 1, 1), self.clip.size).numpy() for i in range(len(frames))]
        )
        return Packed(self.output, len(data), psnr(frames, made), self.sound_psnr, len(self.sound), finished)

    def _header(self, network: GridNetwork) -> dict[str, Any]:
        width, height = self.clip.size
        told: dict[str, Any] = {
            "kind": KIND,
            "picture": {"fps": str(self.clip.fps), "frames": len(self.clip.frames), "height": height, "width": width},
            "network": described(network),
        }
        return {**told, **({"sound": {"suffix": ".opus"}} if self.sound else {})}

    def _whole(self, sections: Mapping[str, bytes]) -> dict[str, bytes]:
        return {**sections, **({"sound": self.sound} if self.sound else {})}

    def _save(self) -> None:
        arrays = {"key": np.frombuffer(self.key.encode(), np.uint8), **self.fit.state()}
        write_entry(state_path(self.output), _MAGIC, arrays)


def state_path(output: Path) -> Path:
    """Path of the state of a fit that was cut short."""
    return output.with_name(f".{shortened(output.name, 200)}.packing")


def begun(output: Path, key: str | None = None) -> bool:
    """Whether a fit for this output was cut short, with `key` the fit of that clip with those settings."""
    kept = _kept(output)
    return kept is not None and key in (None, _key(kept))


def _kept(output: Path) -> dict[str, NDArray[Any]] | None:
    """State of a fit that was cut short; None if there is none, or it is not what was written."""
    return read_entry(state_path(output), _MAGIC, LARGEST_STATE)


def _key(kept: Mapping[str, NDArray[Any]]) -> str | None:
    """Digest of the clip and the settings to which a state belongs."""
    return kept["key"].tobytes().decode("ascii", "replace") if "key" in kept else None


@dataclass(frozen=True)
class Player:
    """A clip that is decoded on request."""

    network: GridNetwork
    frames: int
    size: tuple[int, int]
    fps: Fraction
    sound: bytes | None
    suffix: str

    @property
    def seconds(self) -> Fraction:
        """Length of the picture."""
        return self.frames / self.fps

    def picture(self, seconds: float, size: tuple[int, int] | None = None) -> NDArray[np.uint8]:
        """Decode the picture (h, w, 3) of a moment."""
        return self.network.picture(float(seconds * self.fps) / max(self.frames - 1, 1), size or self.size).numpy()

    def sound_file(self, folder: Path) -> Path | None:
        """Write the sound into a folder; None without sound."""
        if self.sound is None:
            return None
        path = folder / f"sound{self.suffix}"
        path.write_bytes(self.sound)
        return path

    def pictures(self, size: tuple[int, int], fps: Fraction) -> Iterator[NDArray[np.uint8]]:
        """Decode the whole clip at a size and rate."""
        for i in range(max(round(self.seconds * fps), 1)):
            yield self.picture(float(i / fps), size)


SUFFIXES: Final = (".opus", ".wav", ".flac", ".mp3", ".ogg", ".m4a", ".aac", ".aiff", ".aif", ".mp4", ".mka")


def read_player(archive: Archive) -> Player:
    """Read a file that holds a network.

    Raises:
        CodecError: it is damaged or was not made by `pack`.
    """
    frames, size = read_picture(archive.header)
    fps = read_rate(archive.header)
    network = read_network(
        archive.header, archive.read("grids", LARGEST_GRIDS), archive.read("decoder", LARGEST_DECODER)
    )
    sound = archive.read("sound", LARGEST_SOUND) if archive.has("sound") else None
    return Player(network, frames, size, fps, sound, read_suffix(archive.header) if sound is not None else "")


def read_rate(header: Mapping[str, Any]) -> Fraction:
    """Frames per second that a header states.

    Raises:
        CodecError: they are not there, or not from 1/60 to 240.
    """
    told = header.get("picture")
    text = told.get("fps") if isinstance(told, dict) else None
    if isinstance(text, str) and len(text) < 20:
        with contextlib.suppress(ValueError, ZeroDivisionError):
            if SLOWEST <= (fps := Fraction(text)) <= FASTEST:
                return fps
    raise CodecError("the header states no frame rate from 1/60 to 240: get the file again")


def read_suffix(header: Mapping[str, Any]) -> str:
    """Ending of the sound's file that a header states.

    Raises:
        CodecError: it is not one of a sound.
    """
    told = header.get("sound")
    suffix = told.get("suffix") if isinstance(told, dict) else None
    if suffix not in SUFFIXES:
        raise CodecError("the header states no kind of sound that is known: get the file again")
    return str(suffix)
