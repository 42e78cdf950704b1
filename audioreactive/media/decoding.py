"""Any file with sound -> its samples, as a player plays them: one reader for the analysis and for the video's sound.

Conventions: a file is decoded by ffmpeg alone. All of a sound comes at one rate, mono or stereo, even where the file
changes its rate or its channels midway; where it does, the highest rate and the most channels are taken. Sample n is
heard n / rate seconds after the start of the sound, whatever the file's time stamps say. Surround is mixed down to
stereo with the weights of ITU-R BS.775, scaled so that it cannot clip; channels of which the file does not tell the
places are shared between left and right so that the mean of both is the mean of all. Tracks are counted from 1.
"""

from __future__ import annotations

import contextlib
import re
import struct
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Final

import numpy as np

from audioreactive.errors import AudioError, printable
from audioreactive.media.containers import cut_off, joints, parts, unfinished
from audioreactive.media.ffmpeg import SOUND_DEMUXERS, file_url, plain_cause, reading, stranger

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from audioreactive.media.ffmpeg import Reading

    Block = NDArray[np.float32]

BLOCK: Final = 1 << 18
"""Samples in a block, over all channels."""
SILENT: Final = 1e-4
"""Peak below which a track counts as silent; full scale is 1. Dither of 16 bits lies below."""
MOST_TRACKS: Final = 64
"""Tracks of one file that are looked at; broadcasts have a few dozen."""
MOST_CHANNELS: Final = 256
_LOST_AT_JOINT: Final = 2
"""Packets that a decoder may lose where two mp3 files were joined: a tag, and one that refers to what was before it."""

_OPTIONS: Final = ("-hide_banner", "-nostdin", "-nostats", "-loglevel", "level+info", "-guess_layout_max", "2")
_STEREO: Final = (
    "aformat=sample_fmts=flt,pan=stereo"
    "|FL<FL+DL+FLC+0.707FC+0.707BL+0.707SL+0.5BC|FR<FR+DR+FRC+0.707FC+0.707BR+0.707SR+0.5BC"
)
"""`<` scales the weights of the channels that are there to a sum of 1, so that mono stays as loud as it is."""
_SIDES: Final = {3: "LRC", 5: "LRCLR", 6: "LRCCLR", 7: "LRCCCLR", 8: "LRCCLRLR"}
"""Number of channels without told places -> side of each, in the order of WAV files; other numbers alternate."""
_CHANNELS: Final = {"mono": 1, "quad": 4, "quad(side)": 4, "hexagonal": 6, "octagonal": 8, "cube": 8}
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
    """One of the sounds in a file."""

    number: int
    """Counted from 1, over the sounds alone."""
    stream: int
    """Counted from 0, over everything in the file."""
    codec: str
    rate: int
    """Hz."""
    layout: str
    """As ffmpeg names it: mono, stereo, 5.1(side), or such as `6 channels` where the file does not tell it."""
    language: str
    is_default: bool
    """Whether the file says that players shall play this one."""
    start: float
    """Seconds after the start of the file at which its sound begins."""

    @property
    def channels(self) -> int:
        """Number of channels."""
        if told := re.match(r"(\d+) channels", self.layout):
            return int(told[1])
        if told := re.match(r"(\d+)\.(\d+)(?:\.(\d+))?", self.layout):
            return sum(map(int, told.groups("0")))
        return _CHANNELS.get(self.layout, 2)

    @property
    def has_places(self) -> bool:
        """Whether the file tells where its loudspeakers stand."""
        return not re.fullmatch(r"\d+ channels", self.layout)

    def __str__(self) -> str:
        words = (self.codec, self.layout, *((self.language,) if self.language not in ("", "und") else ()))
        return printable(f"track {self.number} ({', '.join(words)})", 80)


@dataclass(frozen=True)
class Contents:
    """The sounds in a file, and what it says of itself."""

    tracks: tuple[Track, ...]
    promised: float | None
    """Seconds from the start of the file to the end of its only stream; None if it does not say, or has several."""


@dataclass(frozen=True)
class Recording:
    """Which sound of which file, and how it is decoded: the same samples whenever it is read."""

    path: Path
    track: Track
    rate: int
    """Hz."""
    stereo: bool
    """Whether all is brought to stereo by ffmpeg; otherwise it has the channels of the track."""
    parts: tuple[tuple[int, int], ...] = ()
    """(first, one past the last) byte of files that were put one behind the other, if each is decoded by itself."""
    gain: float = 1.0
    """Factor by which the samples are scaled where they are analysed and coded; `Decoder` leaves them as they are."""
    length: int = 0
    """Samples of each channel."""
    changes: bool = False
    """Whether it changes its rate or its channels midway."""


@dataclass
class Decoder:
    """Reads a recording once, block by block, and notes what ffmpeg says meanwhile."""

    recording: Recording
    channels: int = 0
    """Of the blocks; known from the first block on."""
    log: str = ""
    failed: bool = False
    _channels_there: int = field(default=0, repr=False)

    def blocks(self) -> Generator[Block, None, None]:
        """(n, 1 or 2) float32 samples, in order, before the gain.

        Raises:
            AudioError: nothing of it can be decoded.
        """
        for number, source in enumerate(self._sources()):
            with reading([*_OPTIONS, *source, *self._output()]) as pipe:
                if self._begin(pipe, is_first=number == 0):
                    yield from self._read(pipe)
                self.failed |= pipe.failure() is not None
                self.log += pipe.log()

    def _sources(self) -> list[list[str]]:
        """Input arguments, one after the other."""
        path, parts_of_it = self.recording.path, self.recording.parts
        if parts_of_it:
            return [_part(path, first, last) for first, last in parts_of_it]
        return [[*_unfinished_riff(path), *stranger(path, SOUND_DEMUXERS)]]

    def _output(self) -> list[str]:
        """Output arguments: an AU stream, which has its rate and its channels ahead, then big-endian floats."""
        recording = self.recording
        mixed = ["-af", _STEREO] if recording.stereo else []
        sound = ["-map", f"0:{recording.track.stream}", "-vn", "-sn", "-dn", *mixed, "-ar", str(recording.rate)]
        return [*sound, "-c:a", "pcm_f32be", "-f", "au", "-"]

    def _begin(self, pipe: Reading, *, is_first: bool) -> bool:
        """Read the head of an AU stream: whether there is sound."""
        magic, offset, _, _, rate, channels = struct.unpack(">4s5I", pipe.read(24).ljust(24, b"\0"))
        if magic != b".snd" or not 0 < channels <= MOST_CHANNELS or rate != self.recording.rate:
            if is_first:
                raise undecodable(self.recording.path, pipe)
            return False
        if not is_first and channels != self._channels_there:
            return False
        self._channels_there, self.channels = channels, min(channels, 2)
        pipe.read(offset - 24)
        return True

    def _read(self, pipe: Reading) -> Iterator[Block]:
        size = 4 * self._channels_there
        while data := pipe.read(max(BLOCK // self._channels_there, 1) * size):
            whole = len(data) - len(data) % size
            block = np.frombuffer(data[:whole], ">f4").astype(np.float32).reshape(-1, self._channels_there)
            yield block if self._channels_there <= 2 else folded(block)

    def improved(self) -> Recording | None:
        """How to decode it so that nothing is lost; None if it was decoded so. After the last block."""
        recording, track = self.recording, self.recording.track
        if not recording.parts and _NOT_JOINED.search(self.log) and (found := parts(recording.path)):
            rates = [track.rate for first, last in found for track in _told(_part(recording.path, first, last)).tracks]
            return replace(recording, parts=found, rate=max([recording.rate, *rates]), stereo=True, changes=True)
        changes = [(int(rate), layout) for rate, layout in _CHANGED.findall(self.log)]
        rate = max([recording.rate, *(rate for rate, _ in changes)])
        other = not recording.stereo and any(layout != track.layout for _, layout in changes)
        if other or rate > recording.rate:
            return replace(recording, rate=rate, stereo=True, changes=True)
        return None


def folded(block: Block) -> Block:
    """(n, more than 2) -> (n, 2): left and right, whose mean is the mean of all channels."""
    count = block.shape[1]
    sides = np.array(list(_SIDES.get(count, "LR" * (count // 2) + "C" * (count % 2))))
    weights = np.stack([(sides == "C") / count + 2 * (sides == side) / count for side in "LR"], axis=1)
    return np.asarray(block.astype(np.float64) @ weights, np.float32)


def contents(path: Path) -> Contents:
    """What sounds a file holds.

    Raises:
        AudioError: there is none.
    """
    source = stranger(path, SOUND_DEMUXERS)
    if (found := _told(source)).tracks:
        return found
    with reading([*_OPTIONS, *source]) as pipe:
        raise undecodable(path, pipe)


def _told(source: Sequence[str]) -> Contents:
    """What ffmpeg tells of an input before it decodes anything."""
    with reading([*_OPTIONS, *source]) as pipe:
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
    """The track that is heard, and what the person should know of that.

    That is the one with the number; else the default one, unless it is silent; else the first that is not silent.

    Raises:
        AudioError: there is no track of this number.
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
    return heard, [f"{path.name} has {len(tracks)} tracks of sound; {heard} is used, {why}: --track takes another"]


def recording_of(path: Path, track: Track) -> Recording:
    """How a track is decoded, as long as nothing is known of it but what its head says."""
    return Recording(path, track, track.rate, stereo=track.has_places and track.layout not in ("mono", "stereo"))


def damage(found: Contents, decoder: Decoder, heard: float) -> str | None:
    """A sentence if less came out than the file promises, or holds.

    Args:
        found: what the file says of itself.
        decoder: after its last block.
        heard: seconds that came out of it.
    """
    path, track = decoder.recording.path, decoder.recording.track
    if unfinished(path):
        return f"{path.name} was never finished, and does not tell its length; the {heard:.1f} seconds in it are used"
    if told := cut_off(path):
        return f"{path.name} is cut off: {told.there} of {told.promised} bytes are there, and are used"
    end = heard + max(track.start, 0.0)
    if found.promised is not None and end < 0.99 * found.promised - 0.2:
        return f"{path.name} is cut off: {heard:.1f} of {found.promised:.1f} seconds can be decoded, and are used"
    lost = sum("Invalid PCM packet" not in line for line in _lost(decoder.log))
    if decoder.failed or (lost and lost > _LOST_AT_JOINT * joints(path)):
        return f"{path.name} is damaged; the {heard:.1f} seconds that can be decoded are used"
    return None


def undecodable(path: Path, pipe: Reading) -> AudioError:
    """The error for a file of which ffmpeg gave nothing."""
    failure = pipe.failure()
    log, none = pipe.log(), "there is none in it"
    cause = failure if pipe.stalled and failure else plain_cause(log, none)
    if "At least one output file" in log and not pipe.stalled:  # it was opened, and no track was found
        unknown = any(kind == "Audio" for _, _, kind, _ in _STREAM.findall(log))
        cause = "it is coded in a way that is not known here: convert it to WAV or FLAC" if unknown else none
    return AudioError(f"{str(path)!r} holds no sound that can be decoded ({cause})")


def _lost(log: str) -> Iterator[str]:
    """A line for each packet that could not be decoded; the line before it says why, and is put in front."""
    before = ""
    for line in log.splitlines():
        if _LOST_PACKET.search(line):
            yield before + line
        before = line


def _track(index: int, language: str, told: str) -> Track | None:
    """A track from ffmpeg's line about it; None if it tells no rate, as of a coding that it does not know."""
    found = re.search(r"^([\w.-]+).*?, (\d+) Hz, ([^,]+)", told)
    if not found or found[1] == "none":
        return None
    start = re.search(r", start (-?\d+\.\d+)", told)
    default = bool(re.search(r"\(default\)", told))
    return Track(
        0, index, found[1], int(found[2]), found[3].strip(), language, default, float(start[1]) if start else 0.0
    )


def _is_silent(path: Path, track: Track) -> bool:
    blocks = Decoder(recording_of(path, track)).blocks()
    with contextlib.closing(blocks), contextlib.suppress(AudioError):
        return not any(np.abs(block).max(initial=0) > SILENT for block in blocks)
    return True


def _unfinished_riff(path: Path) -> list[str]:
    """Input options for a WAV file that says that it is empty, and is not."""
    with path.open("rb") as file:
        is_riff = file.read(4) in (b"RIFF", b"RIFX", b"RF64", b"BW64")
    return ["-f", "wav", "-ignore_length", "1"] if is_riff and unfinished(path) else []


def _part(path: Path, first: int, last: int) -> list[str]:
    """Input arguments for some bytes of a stranger's file."""
    source = f"subfile,,start,{first},end,{last},,:{file_url(path)}"
    return ["-protocol_whitelist", "file,subfile", "-format_whitelist", SOUND_DEMUXERS, "-i", source]
