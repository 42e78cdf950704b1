"""The ffmpeg program: where it is, what it can encode, how it is run on files of strangers.

Conventions: arguments are lists, never a shell's words. A file enters as `file:/absolute/name`, which takes
percent signs, colons, newlines and leading dashes as plain characters. A stranger's file is opened only by the
demuxers named here: a playlist that calls itself .mp3 could make ffmpeg open other files, or the network.
"""

import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import IO, Final

from audioreactive.errors import VideoError

SOUND_DEMUXERS: Final = (
    "aac,ac3,aiff,amr,ape,asf,au,avi,caf,dsf,eac3,flac,flv,matroska,mov,mp3,mpegts,ogg,opus,tta,w64,wav,wv"
)
VIDEO_DEMUXERS: Final = "matroska,mov"
QUIET: Final = ("-hide_banner", "-nostdin", "-nostats", "-loglevel", "warning")
_PROBE_SECONDS: Final = 120
_CREATE_NEW_PROCESS_GROUP: Final = 0x200
"""Windows' name for what POSIX does with a process group of its own."""


@cache
def ffmpeg_path() -> Path:
    """The ffmpeg that is used: the one of imageio-ffmpeg, `$IMAGEIO_FFMPEG_EXE` or one on the PATH.

    Raises:
        VideoError: there is none.
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
    """The version as ffmpeg states it, such as `7.0.2-static`."""
    first = run(["-version"]).partition("\n")[0]
    found = re.match(r"ffmpeg version (\S+)", first)
    return found[1] if found else first


@cache
def encoders() -> frozenset[str]:
    """Names of the encoders that this ffmpeg was built with, such as `libx264`."""
    listing = run(["-hide_banner", "-encoders"])
    return frozenset(re.findall(r"^ [VAS][A-Z.]{5} (\S+)", listing, re.MULTILINE))


def file_url(path: Path) -> str:
    """The path as ffmpeg takes it, whatever characters it has."""
    return f"file:{path.absolute()}"


def stranger(path: Path, demuxers: str) -> list[str]:
    """Input arguments for a file that nobody vouches for."""
    return ["-protocol_whitelist", "file", "-format_whitelist", demuxers, "-i", file_url(path)]


def spawn(
    arguments: Sequence[str],
    *,
    stdin: int = subprocess.DEVNULL,
    stderr: int | IO[bytes] = subprocess.PIPE,
    folder: Path | None = None,
) -> subprocess.Popen[bytes]:
    """Start ffmpeg in a folder, with unbuffered pipes, out of reach of the terminal's Ctrl-C.

    The interrupt is for our own process, which then decides what happens to ffmpeg and its files.
    """
    windows = sys.platform == "win32"
    started: list[subprocess.Popen[bytes]] = []
    failed: list[Exception] = []

    def start() -> None:
        try:
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
            started.append(process)
        except (OSError, ValueError, VideoError) as error:
            failed.append(error)

    # In a thread, where no interrupt can fall between a program's start and our knowing of it.
    starter = threading.Thread(target=start, daemon=True)
    starter.start()
    try:
        starter.join()
    except BaseException:
        starter.join()
        for process in started:
            process.kill()
            process.communicate()
        raise
    for error in failed:
        if isinstance(error, VideoError):
            raise error
        raise VideoError(f"ffmpeg at {ffmpeg_path()} cannot be started: {error}") from error
    return started[0]


def run(arguments: Sequence[str], *, both: bool = False) -> str:
    """What ffmpeg prints on standard output (and, with `both`, on standard error).

    Raises:
        VideoError: ffmpeg failed; the message holds its last lines.
    """
    try:
        done = subprocess.run(
            [str(ffmpeg_path()), *arguments], stdin=subprocess.DEVNULL, capture_output=True, timeout=_PROBE_SECONDS
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise VideoError(f"ffmpeg at {ffmpeg_path()} cannot be used: {error}") from error
    complaint = done.stderr.decode(errors="replace")
    if done.returncode:
        raise VideoError("ffmpeg failed: " + " / ".join(complaint.strip().splitlines()[-3:]))
    return done.stdout.decode(errors="replace") + (complaint if both else "")
