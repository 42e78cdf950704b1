"""Decode the samples of any file with sound, as a player does; used for the analysis and for the video's sound.

Conventions: a file is decoded by ffmpeg alone. All of a sound comes at one rate and with as many channels, even where
the file changes its rate or its channels midway; where it does, the highest rate and the most channels are taken.
Sample n is heard n / rate seconds after the start of the sound, whatever the file's time stamps say. The analysis
takes every channel; the video has two, as `places` mixes them. Tracks are counted from 1.
"""

from __future__ import annotations

import contextlib
import math
import re
import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final, Literal

import numpy as np

from audioreactive.errors import AudioError, printable
from audioreactive.media.containers import cut_off, joints, parts, whole_fragments
from audioreactive.media.ffmpeg import SOUND_DEMUXERS, behind_head, file_url, plain_cause, reading, stranger
from audioreactive.media.heads import readable_head, unfinished
from audioreactive.media.offsets import OffsetFilter
from audioreactive.media.places import STEREO, SURROUND, folded, from_both_sides

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from numpy.typing import NDArray

    from audioreactive.media.ffmpeg import Reading

    Block = NDArray[np.float32]

BLOCK: Final = 1 << 18
"""Samples per block, over all channels."""
SILENT: Final = 3e-4
"""Root mean square of MOMENT samples of a track below which they count as silent; full scale is 1. The noise of 16-bit
recordings stays below."""
MOMENT, FEWEST_MOMENTS = 1024, 5
"""Samples of a moment, and the moments of sound without which a track is silent: a click is no sound."""
MOST_TRACKS: Final = 64
"""Most tracks of one file that are considered; broadcasts have a few dozen."""
MOST_CHANNELS: Final = 256
_LOST_AT_JOINT: Final = 2
"""Packets that a decoder may lose where two mp3 files were joined: a tag, and one that refers to earlier data."""

_OPTIONS: Final = ("-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info", "-guess_layout_max", "2")
_STREAM: Final = re.compile(r"^\[info\]   Stream #0:(\d+)(?:\[0x[0-9a-f]+\])?(?:\((\w{1,8})\))?: (\w+): (.*)$", re.M)
_CHANGED: Final = re.compile(r"Reconfiguring filter graph because audio parameters changed to (\d+) Hz, ([^,\n]+)")
_NOT_JOINED: Final = re.compile(
    r"(?:Channel|Sample rate) change is not supported|blocksize \d+ > \d+|blocksize changed"
)
_LOST_PACKET: Final = re.compile(
    r"\[error\] (?:Error submitting packet to decoder|Decoding error|Error during demuxing|CRC mismatch"
    r"|File ended prematurely|0x[0-9a-f]+ at pos)"
)


@dataclass(frozen=True)
class Track:
    """One audio track of a file."""

    number: int
    """Number among the audio tracks, from 1."""
    stream: int
    """Number among all streams of the file, from 0."""
    codec: str
    rate: int
    """Samples per second."""
    layout: str
    """Channel layout as ffmpeg names it: mono, stereo, 5.1(side); `6 channels` and the like if the file states none."""
    language: str
    is_default: bool
    """Whether the file marks this track as the one to play by default."""
    start: float
    """Time in seconds after the start of the file at which the track begins."""

    @property
    def has_places(self) -> bool:
        """Whether the file tells where its loudspeakers stand."""
        return not self.is_ambisonic and not re.fullmatch(r"\d+ channels", self.layout)

    @property
    def is_ambisonic(self) -> bool:
        """Whether its channels are those of a sphere (W, Y, Z, X and on), and not of loudspeakers."""
        return self.layout.startswith("ambisonic")

    @property
    def is_mono_or_stereo(self) -> bool:
        """Whether it can be coded as it is; a single channel is mono, wherever it stands."""
        return self.layout in ("mono", "stereo") or self.layout.startswith("1 channels")

    def __str__(self) -> str:
        words = (self.codec, self.layout, *((self.language,) if self.language not in ("", "und") else ()))
        return printable(f"track {self.number} ({', '.join(words)})", 80)


@dataclass(frozen=True)
class Contents:
    """Audio tracks of a file, and the length that it states."""

    tracks: tuple[Track, ...]
    promised: float | None
    """Stated seconds to the end of the file's only stream; None if none are stated or there are several streams."""


@dataclass(frozen=True)
class Recording:
    """A track of a file and the settings to decode it; decoding it again gives the same samples."""

    path: Path
    track: Track
    rate: int
    """Hz."""
    layout: Literal["", "stereo", "7.1"] = ""
    """What ffmpeg brings all of it to, as it changes its channels or its rate midway; else it stays as the track is."""
    parts: tuple[tuple[int, int], ...] = ()
    """(first, one past the last) byte of each joined file, if they must be decoded one by one; else empty."""
    promised: float | None = None
    """Seconds that those files state together; None if one does not. What their first states of all may be wrong."""
    is_bass_alone: bool = False
    """Whether nothing sounds but the channel of low tones (LFE), which a stereo mix leaves out otherwise."""
    limit: float = math.inf
    """Size to which samples are clipped, because a few are far beyond all others."""
    gain: float = 1.0
    """Factor that the analysis and the encoder apply to the samples; `Decoder` does not."""
    length: int = 0
    """Samples of each channel."""


@dataclass(frozen=True)
class _Source:
    """Untrusted input of one run of ffmpeg."""

    path: Path
    arguments: list[str]
    """Arguments up to and including the input."""
    head: bytes = b""
    """Bytes that replace the beginning of the file."""

    def reading(self, *arguments: str) -> AbstractContextManager[Reading]:
        """Run ffmpeg on it, with these arguments for the output."""
        return reading([*_OPTIONS, *self.arguments, *arguments], path=self.path, head=self.head)


@dataclass
class Decoder:
    """Reads a recording once, block by block, and collects ffmpeg's log."""

    recording: Recording
    is_for_two_ears: bool = False
    """Whether more than two channels are brought to stereo, as a video has it."""
    log: str = ""
    failed: bool = False
    _channels: int = field(default=0, repr=False)

    def blocks(self) -> Generator[Block, None, None]:
        """(n, channels) float32 samples, in order, before the gain.

        Raises:
            AudioError: nothing can be decoded.
        """
        for number, source in enumerate(self._sources()):
            with source.reading(*self._output()) as pipe:
                if self._begin(pipe, is_first=number == 0):
                    yield from self._read(pipe)
                self.failed |= pipe.failure() is not None
                self.log += pipe.log()

    def _sources(self) -> list[_Source]:
        """Make the source of each part, to be decoded one after the other."""
        path, parts_of_it = self.recording.path, self.recording.parts
        if parts_of_it:
            return [_part(path, first, last) for first, last in parts_of_it]
        return [_whole(path)]

    def _output(self) -> list[str]:
        """Build ffmpeg's output arguments: an AU stream, whose header states rate and channels of its floats."""
        recording = self.recording
        surround = recording.layout == "7.1" or (recording.track.has_places and not recording.track.is_mono_or_stereo)
        pan = {"": "", "stereo": STEREO, "7.1": SURROUND}[recording.layout]
        if self.is_for_two_ears and surround and not recording.is_bass_alone:
            pan = STEREO
        mixed = ["-af", pan] if pan else []
        sound = ["-map", f"0:{recording.track.stream}", "-vn", "-sn", "-dn", *mixed, "-ar", str(recording.rate)]
        return [*sound, "-c:a", "pcm_f32be", "-f", "au", "-"]

    def _begin(self, pipe: Reading, *, is_first: bool) -> bool:
        """Read the header of an AU stream; returns whether there is usable sound."""
        magic, offset, _, _, rate, channels = struct.unpack(">4s5I", pipe.read(24).ljust(24, b"\0"))
        if magic != b".snd" or not 0 < channels <= MOST_CHANNELS or rate != self.recording.rate:
            if is_first:
                raise undecodable(self.recording.path, pipe)
            return False
        if not is_first and channels != self._channels:
            return False
        self._channels = channels
        pipe.read(offset - 24)
        return True

    def _read(self, pipe: Reading) -> Iterator[Block]:
        size = 4 * self._channels
        while data := pipe.read(max(BLOCK // self._channels, 1) * size):
            whole = len(data) - len(data) % size
            block = np.frombuffer(data[:whole], ">f4").astype(np.float32).reshape(-1, self._channels)
            if math.isfinite(self.recording.limit):
                block = block.clip(-self.recording.limit, self.recording.limit)
            if self.is_for_two_ears and self._channels > 2:
                yield from_both_sides(block) if self.recording.track.is_ambisonic else folded(block)
            else:
                yield block

    def improved(self) -> Recording | None:
        """Return better decoding settings if this pass lost something, else None; call it after the last block."""
        recording, track = self.recording, self.recording.track
        is_partial = _NOT_JOINED.search(self.log) or any(_lost(self.log))  # the latter where the coding changes
        if not recording.parts and is_partial and (found := parts(recording.path)):
            described = [_described(_part(recording.path, first, last)) for first, last in found]
            tracks = [track for each in described for track in each.tracks]
            rates = [recording.rate, *(each.rate for each in tracks)]
            lengths = [each.promised for each in described if each.promised is not None]
            promised = sum(lengths) if len(lengths) == len(found) else None
            layout = _widest([track, *tracks])
            return replace(recording, parts=found, promised=promised, rate=max(rates), layout=layout)
        changed = [replace(track, rate=int(rate), layout=layout.strip()) for rate, layout in _CHANGED.findall(self.log)]
        rate = max([recording.rate, *(each.rate for each in changed)])
        other = not recording.layout and any(each.layout != track.layout for each in changed)
        if other or rate > recording.rate:
            return replace(recording, rate=rate, layout=_widest([track, *changed]))
        return None


def _widest(tracks: Sequence[Track]) -> Literal["stereo", "7.1"]:
    """The layout that has room for the channels of all."""
    return "stereo" if all(track.is_mono_or_stereo for track in tracks) else "7.1"


def contents(path: Path) -> Contents:
    """List the audio tracks of a file.

    Raises:
        AudioError: there are none that can be decoded.
    """
    try:
        source = _whole(path)
    except OSError as error:
        raise AudioError(f"{str(path)!r} cannot be read: {error.strerror or error}") from error
    if (found := _described(source)).tracks:
        return found
    with source.reading() as pipe:
        raise undecodable(path, pipe)


def _described(source: _Source) -> Contents:
    """Parse ffmpeg's description of an input; nothing is decoded."""
    with source.reading() as pipe:
        while pipe.read(1 << 16):
            pass
        log = pipe.log()
    streams = [match.groups("") for match in _STREAM.finditer(log)]
    sounds = [_track(int(index), language, told) for index, language, kind, told in streams if kind == "Audio"]
    known = [track for track in sounds if track is not None][:MOST_TRACKS]
    tracks = tuple(replace(track, number=number) for number, track in enumerate(known, 1))
    only = sum("attached pic" not in told for _, _, _, told in streams) == 1
    length = re.search(r"^\[info\]   Duration: (\d+):(\d\d):(\d\d\.\d+)", log, re.MULTILINE)
    if not length or not only or "Estimating duration from bitrate" in log:
        return Contents(tracks, None)
    return Contents(tracks, 3600 * int(length[1]) + 60 * int(length[2]) + float(length[3]))


def choose(found: Contents, path: Path, number: int | None) -> tuple[Track, list[str]]:
    """Choose the track to use, and return it with notes for the user.

    It is the track with the given number; without one, the default track, unless it is silent; else the first that is
    not silent.

    Raises:
        AudioError: there is no track with this number.
    """
    tracks = found.tracks
    if number is not None:
        if not 1 <= number <= len(tracks):
            there = "one track" if len(tracks) == 1 else f"{len(tracks)} tracks"
            raise AudioError(f"{str(path)!r} has {there} of sound, and no track {number}: give one from 1")
        return tracks[number - 1], []
    if len(tracks) == 1:
        return tracks[0], []
    order = sorted(tracks, key=lambda track: not track.is_default)
    heard = next((track for track in order if not _is_silent(path, track)), order[0])
    why = "the default one" if heard.is_default else "the first that is not silent"
    if heard is not order[0] and order[0].is_default:
        why = f"as the default track {order[0].number} is silent"
    return heard, [
        f"{path.name} has {len(tracks)} tracks of sound; {heard} is used, {why}: "
        "render, analyze and studio take another with --track"
    ]


def heard_track(path: Path) -> Track | None:
    """Return the track of a file that is heard if none is named; None without a sound that can be decoded."""
    try:
        return choose(contents(path), path, None)[0]
    except AudioError:
        return None


def recording_of(path: Path, track: Track) -> Recording:
    """How a track is decoded, as long as nothing is known of it but what its head says."""
    return Recording(path, track, track.rate)


def damage(found: Contents, decoder: Decoder, heard: float) -> str | None:
    """Describe the damage if less was decoded than the file states or contains; else None.

    Args:
        found: tracks and stated length of the file.
        decoder: the decoder, after its last block.
        heard: seconds that were decoded.
    """
    path, track = decoder.recording.path, decoder.recording.track
    if unfinished(path):
        return f"{path.name} was never finished, and does not tell its length; the {heard:.1f} seconds in it are used"
    if told := cut_off(path):
        return f"{path.name} is cut off: {told.there} of {told.promised} bytes are there, and are used"
    end = heard + max(track.start, 0.0)
    promised = decoder.recording.promised if decoder.recording.parts else found.promised
    if promised is not None and end < 0.99 * promised - 0.2:
        return f"{path.name} is cut off: {heard:.1f} of {promised:.1f} seconds can be decoded, and are used"
    lost = sum("Invalid PCM packet" not in line for line in _lost(decoder.log))
    if decoder.failed or (lost and lost > _LOST_AT_JOINT * joints(path)):
        return f"{path.name} is damaged; the {heard:.1f} seconds that can be decoded are used"
    return None


def undecodable(path: Path, pipe: Reading) -> AudioError:
    """Make the error for a file from which ffmpeg decoded nothing."""
    failure = pipe.failure()
    log, none = pipe.log(), "there is none in it"
    cause = failure if pipe.stalled and failure else plain_cause(log, none)
    if "At least one output file" in log and not pipe.stalled:  # the file could be opened, but no track was found
        unknown = any(kind == "Audio" for _, _, kind, _ in _STREAM.findall(log))
        cause = "it is coded in a way that is not known here: convert it to WAV or FLAC" if unknown else none
    return AudioError(f"{str(path)!r} holds no sound that can be decoded ({cause})")


def _lost(log: str) -> Iterator[str]:
    """Yield a log line for each packet that could not be decoded, after the line before it, which gives the reason."""
    before = ""
    for line in log.splitlines():
        if _LOST_PACKET.search(line):
            yield before + line
        before = line


def _track(index: int, language: str, told: str) -> Track | None:
    """Parse ffmpeg's line about a track; None if it states no rate, as for an unknown codec."""
    found = re.search(r"^([\w.-]+).*?, (\d+) Hz, ([^,]+)", told)
    if not found or found[1] == "none":
        return None
    start = re.search(r", start (-?\d+\.\d+)", told)
    default = bool(re.search(r"\(default\)", told))
    return Track(
        0, index, found[1], int(found[2]), found[3].strip(), language, default, float(start[1]) if start else 0.0
    )


def _is_silent(path: Path, track: Track) -> bool:
    """Whether hardly anything is heard of a track; a constant offset is not."""
    heard = moments = 0
    blocks = Decoder(recording_of(path, track)).blocks()
    with contextlib.closing(blocks), contextlib.suppress(AudioError):
        for block in _without_offset(blocks, track.rate):
            levels = _moments(block)
            moments, heard = moments + len(levels), heard + int((levels >= SILENT).sum())
            if heard >= FEWEST_MOMENTS:
                return False
    return heard < min(FEWEST_MOMENTS, max(moments, 1))


def _without_offset(blocks: Iterator[Block], rate: int) -> Iterator[Block]:
    """Yield blocks (n, C) without their DC offset."""
    filtered = None
    for block in blocks:
        filtered = filtered or OffsetFilter(rate, block.shape[1])
        yield filtered.add(block)
    if filtered is not None:
        yield filtered.finish()


def _moments(block: Block) -> NDArray[np.float64]:
    """Root mean squares of the moments of (n, C) samples, each of its loudest channel."""
    padded = np.pad(block, ((0, -len(block) % MOMENT), (0, 0))).reshape(-1, MOMENT, block.shape[1])
    loudest: NDArray[np.float64] = np.sqrt(np.square(padded, dtype=np.float64).mean(axis=1)).max(axis=1, initial=0)
    return loudest


def _whole(path: Path) -> _Source:
    """Make the source of a whole untrusted file: with another header, or to an earlier end, where ffmpeg needs one."""
    if head := readable_head(path):
        return _Source(path, behind_head(head.replaced, head.demuxer), head.content)
    if end := whole_fragments(path):
        return _part(path, 0, end)
    return _Source(path, stranger(path, SOUND_DEMUXERS))


def _part(path: Path, first: int, last: int) -> _Source:
    """Make the source of a range of bytes of an untrusted file."""
    source = f"subfile,,start,{first},end,{last},,:{file_url(path)}"
    return _Source(path, ["-protocol_whitelist", "file,subfile", "-format_whitelist", SOUND_DEMUXERS, "-i", source])
