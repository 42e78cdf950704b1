"""Find and run the ffmpeg program, safely even on untrusted files.

Conventions: arguments are lists, never shell text. A file is passed as `file:/absolute/name`, so that percent signs,
colons, newlines and leading dashes are plain characters. An untrusted file is opened only by the demuxers named here,
because a playlist renamed to .mp3 could make ffmpeg open other files or the network. The process that reads it has
limited memory and is killed when it produces nothing for a minute (`Reading`).
"""

import contextlib
import os
import re
import select
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import IO, Final

from audioreactive._support.interrupts import held_back
from audioreactive.errors import VideoError

SOUND_DEMUXERS: Final = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,eac3,flac,flv,matroska,mov,mp3,mpeg,mpegts,ogg,opus,tta,w64,wav,wv"
)
VIDEO_DEMUXERS: Final = "gif,matroska,mov,webp_anim"
"""Readers of all kinds of video that this program writes; an older ffmpeg has none for animated WebP."""
CHUNK_DEMUXERS: Final = "concat,matroska,mov"
QUIET: Final = ("-hide_banner", "-nostdin", "-nostats", "-loglevel", "warning")
MOST_MEMORY: Final = 8 << 30
"""Bytes of address space allowed for an ffmpeg that reads an untrusted file: twice what 8K video takes."""
PATIENCE: Final = 60.0
"""Seconds without output after which ffmpeg is killed: decoders may loop forever over damaged data."""
_LONGEST_LISTING: Final = 1 << 28
"""Most bytes of ffmpeg's text output that are read: a line for each packet of six hours of video and sound."""
_MOST_LOG: Final = 1 << 20
_GLANCE_AT_READING: Final = 1.0
"""Seconds between two checks whether anything has been read."""
_GLANCE: Final = 0.2
"""Seconds between two checks whether a process has ended."""
_HEAD: Final = "head"
"""Name of the file that replaces the beginning of another one, in a temporary folder."""
_CREATE_NEW_PROCESS_GROUP: Final = 0x200
"""Windows flag with the same effect as a new POSIX process group: Ctrl-C does not reach ffmpeg."""


_CAUSES: Final = (
    (r"not on whitelist", "its format is not a known sound or video format"),
    (r"moov atom not found", "its index (moov) is missing, as in a file that is cut off or was never finished"),
    (r"Missing packet table", "its index is missing, as in a file that is cut off or was never finished"),
    (
        r"Cannot allocate memory|MemoryError|bad_alloc",
        f"it takes more than the {MOST_MEMORY >> 30} GB of memory that a decoder may have",
    ),
    (r"No space left|Disk quota", "the disk is full"),
    (r"Permission denied", "it may not be read"),
    (r"[Ee]ncrypted|DRM|drm[sit]\b", "it is encrypted, as bought music may be; only its shop's own player plays it"),
    (r"matches no streams|does not contain any stream", "there is no sound in it"),
    (
        r"[Dd]ecoder .*not found|[Uu]nknown codec|[Uu]nsupported codec|not currently supported|patches welcome"
        r"|Could not find codec",
        "it is coded in a way that is not known here: convert it to WAV or FLAC",
    ),
    (r"Invalid data|[Ee]rror|[Ff]atal|invalid|Invalid", "its content is damaged, or is not sound or video"),
)
"""(pattern of ffmpeg's error message, explanation for the user), the most specific first."""


@cache
def ffmpeg_path() -> Path:
    """Find ffmpeg: `$IMAGEIO_FFMPEG_EXE`, the one of imageio-ffmpeg, or one on the PATH.

    Raises:
        VideoError: none was found.
    """
    import imageio_ffmpeg

    try:
        return Path(imageio_ffmpeg.get_ffmpeg_exe())
    except RuntimeError as error:
        raise VideoError(
            f"no ffmpeg was found ({error}); `pip install --force-reinstall imageio-ffmpeg` brings one, "
            "or set IMAGEIO_FFMPEG_EXE to the path of yours"
        ) from None


@cache
def ffmpeg_version() -> str:
    """Return ffmpeg's version, such as `7.0.2-static`."""
    first = run(["-version"]).partition("\n")[0]
    found = re.match(r"ffmpeg version (\S+)", first)
    return found[1] if found else first


@cache
def encoders() -> frozenset[str]:
    """Return the names of the encoders that this ffmpeg was built with, such as `libx264`."""
    listing = run(["-hide_banner", "-encoders"])
    return frozenset(re.findall(r"^ [VAS][A-Z.]{5} (\S+)", listing, re.MULTILINE))


def file_url(path: Path) -> str:
    """Return a path as a URL that ffmpeg accepts whatever characters it contains."""
    return f"file:{path.absolute()}"


def in_folder(name: str) -> list[str]:
    """Build input arguments for a chunk, or a list of chunks, in ffmpeg's working folder.

    Only the formats of chunks are allowed: the folder may come from an untrusted archive, and a playlist with the name
    of a chunk could open other files.
    """
    return ["-protocol_whitelist", "file", "-format_whitelist", CHUNK_DEMUXERS, "-i", name]


def stranger(path: Path, demuxers: str) -> list[str]:
    """Build input arguments for an untrusted file."""
    return ["-protocol_whitelist", "file", "-format_whitelist", demuxers, "-i", file_url(path)]


def behind_head(size: int, demuxer: str) -> list[str]:
    """Build input arguments for an untrusted file of which the first `size` bytes are replaced; see `reading`.

    The file's own name does not occur in them, because no name with a bar could: it would part two files.
    """
    joined = f"concat:file:{_HEAD}|subfile,,start,{size},end,0,,:fd:"
    return ["-protocol_whitelist", "concat,file,subfile,fd", "-f", demuxer, "-i", joined]


def spawn(
    arguments: Sequence[str],
    *,
    stdin: int | IO[bytes] = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.PIPE,
    folder: Path | None = None,
    most_memory: int | None = None,
) -> subprocess.Popen[bytes]:
    """Start ffmpeg with unbuffered pipes, in its own process group so that Ctrl-C does not reach it.

    Only our own process receives the interrupt; it then decides what happens to ffmpeg and its files.

    Args:
        arguments: arguments of ffmpeg.
        stdin: see `subprocess.Popen`.
        stderr: see `subprocess.Popen`.
        folder: working folder.
        most_memory: limit of its address space in bytes, enforced on Linux; give `MOST_MEMORY` for untrusted files.
    """
    windows = sys.platform == "win32"
    process: subprocess.Popen[bytes] | None = None
    try:
        with held_back():
            process = subprocess.Popen(
                [str(ffmpeg_path()), *arguments],
                stdin=stdin,
                stdout=subprocess.PIPE,
                stderr=stderr,
                bufsize=0,
                cwd=folder,
                creationflags=_CREATE_NEW_PROCESS_GROUP if windows else 0,
                process_group=None if windows else 0,
            )
            if most_memory is not None:
                _confine(process, most_memory)
    except (OSError, ValueError) as error:
        raise VideoError(f"ffmpeg at {ffmpeg_path()} cannot be started: {error}") from error
    except BaseException:
        if process:
            process.kill()
            process.communicate()
        raise
    return process


def await_end(process: subprocess.Popen[bytes]) -> None:
    """Wait until a process has ended; Ctrl-C interrupts the wait on every platform."""
    with contextlib.ExitStack() as stack:
        ended: select.poll | None = None
        if sys.platform == "linux":  # a pidfd reports the end at once; Python's wait polls every 50 ms
            with contextlib.suppress(OSError):
                descriptor = os.pidfd_open(process.pid)
                stack.callback(os.close, descriptor)
                ended = select.poll()
                ended.register(descriptor, select.POLLIN)
        while process.poll() is None:
            if ended is not None:
                ended.poll(1000 * _GLANCE)
            else:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(_GLANCE)


class Reading:
    """Standard output of an ffmpeg, read piece by piece; the process is killed when it stalls."""

    def __init__(self, process: subprocess.Popen[bytes], log: IO[bytes]) -> None:
        self.process = process
        self.stalled = False
        self._log = log
        self._waiting = False
        self._pieces = 0
        self._over = threading.Event()
        self._watch = threading.Thread(target=self._end_stalled, daemon=True, name="ffmpeg watch")
        self._watch.start()

    def read(self, size: int) -> bytes:
        """Read `size` bytes, fewer only at the end."""
        data = bytearray(size)
        return bytes(memoryview(data)[: self.read_into(data)])

    def read_into(self, data: bytearray) -> int:
        """Fill `data`, less of it only at the end; returns the number of bytes read."""
        stream, view, filled = self.process.stdout, memoryview(data), 0
        assert stream is not None
        while filled < len(data):
            self._waiting = True
            count: int = stream.readinto(view[filled:])  # type: ignore[attr-defined]
            self._waiting = False
            self._pieces += 1
            if not count:
                break
            filled += count
        return filled

    def log(self) -> str:
        """Return the first megabyte of ffmpeg's messages."""
        self._log.seek(0)
        return self._log.read(_MOST_LOG).decode(errors="replace")

    def failure(self) -> str | None:
        """Return why ffmpeg failed, or None if it succeeded; call it after the end of the output."""
        try:
            code = self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            self.stalled = True
        if self.stalled:
            return f"ffmpeg made nothing of it for {PATIENCE:.0f} seconds"
        return plain_cause(self.log(), f"the decoder stopped with exit code {code}") if code else None

    def close(self) -> None:
        """Stop the thread that watches the process."""
        self._over.set()
        self._watch.join()

    def _end_stalled(self) -> None:
        # Glances are counted, and not the time between them: while this program was stopped (Ctrl-Z), nobody waited.
        glance, waited, before = min(_GLANCE_AT_READING, PATIENCE / 4), 0.0, 0
        while not self._over.wait(glance):
            waited = waited + glance if self._waiting and self._pieces == before else 0.0
            before = self._pieces
            if waited > PATIENCE:
                self.stalled = True
                self.process.kill()
                return


@contextlib.contextmanager
def reading(
    arguments: Sequence[str], *, folder: Path | None = None, path: Path | None = None, head: bytes = b""
) -> Iterator[Reading]:
    """Run an ffmpeg that reads an untrusted file; its output is read in the body, and it is killed at the end.

    Args:
        arguments: arguments of ffmpeg.
        folder: working folder.
        path: the untrusted file, if the arguments come from `behind_head`.
        head: bytes that replace those at its beginning.
    """
    with contextlib.ExitStack() as stack:
        log = stack.enter_context(tempfile.TemporaryFile())
        stdin: int | IO[bytes] = subprocess.DEVNULL
        if path is not None and head:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            (folder / _HEAD).write_bytes(head)
            stdin = stack.enter_context(path.open("rb"))
        started = spawn(arguments, stdin=stdin, stderr=log, folder=folder, most_memory=MOST_MEMORY)
        process = stack.enter_context(started)
        output = Reading(process, log)
        try:
            yield output
        finally:
            process.kill()
            output.close()


def plain_cause(log: str, otherwise: str) -> str:
    """Explain in plain words why an input cannot be read, from ffmpeg's messages; `otherwise` if none is known."""
    return next((cause for words, cause in _CAUSES if re.search(words, log)), otherwise)


def _confine(process: subprocess.Popen[bytes], memory: int) -> None:
    if sys.platform == "linux":
        import resource

        with contextlib.suppress(ProcessLookupError, PermissionError, ValueError):
            resource.prlimit(process.pid, resource.RLIMIT_AS, (memory, memory))


def run(arguments: Sequence[str], *, both: bool = False) -> str:
    """Run ffmpeg and return its standard output, with `both` also its standard error.

    Raises:
        VideoError: ffmpeg failed; the message has its last lines.
    """
    with reading(arguments) as output:
        listing = bytearray()
        while piece := output.read(1 << 16):
            listing += piece
            if len(listing) > _LONGEST_LISTING:
                raise VideoError(f"ffmpeg lists more than {_LONGEST_LISTING} bytes, which no video of six hours needs")
        if problem := output.failure():
            raise VideoError(f"ffmpeg cannot do this: {problem}")
        return listing.decode(errors="replace") + (output.log() if both else "")
