"""The command line: one click command a module. Commands wire, they do not compute.

Modules are imported when their command is called, and heavy libraries inside the functions that need them, so that
`--help` answers at once.
"""

from __future__ import annotations

import codecs
import errno
import importlib
import io
import os
import signal
import sys
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from audioreactive._support.files import described
from audioreactive.errors import AudioReactiveError, did_you_mean, printable, shown

if TYPE_CHECKING:
    from types import FrameType

COMMANDS = {
    "render": "Render a song to an audio-reactive video.",
    "sheet": "Preview many seeds or presets in one grid.",
    "studio": "Shape a video section by section, in a page.",
    "live": "Show the picture of a sound as it comes in.",
    "score": "Measure how audio-reactive a video is.",
    "sync": "Measure and repair the sync of a video, or find one take in another.",
    "pack": "Pack a clip, sound and picture, into one small file.",
    "unpack": "Decode a packed clip at any size, or as a page.",
    "share": "Hand clips to others in the same network, from browser to browser.",
    "flashes": "Check a video for flashes that can hurt photosensitive viewers.",
    "train": "Train a synthesizer on a folder of music.",
    "analyze": "Show what is heard in a song.",
    "palette": "Show the pictures of a model's seeds in a grid.",
    "project": "Find the latents of a model whose picture is closest to a given one.",
    "directions": "Show what changes along the directions of a model's latents.",
    "preset": "Draw, show and compare presets.",
    "model": "Inspect and convert model files.",
    "doctor": "Show versions, devices, codecs, and which compiled ops are in use and why.",
}
"""Name -> one line of help; it is defined here so that `audioreactive --help` imports no command."""

ALIASES = {"patch": "preset"}
"""Earlier names of commands, which still work."""

CONTEXT = {"help_option_names": ["-h", "--help"], "max_content_width": 100}

_OF_THE_SYSTEM = frozenset(
    getattr(errno, name)
    for name in (
        "EACCES", "EPERM", "EROFS", "ENOSPC", "EDQUOT", "EFBIG", "EIO", "EMFILE", "ENFILE", "ELOOP", "ENOMEM",
        "ENOTDIR", "EISDIR", "ESTALE", "ENXIO",
    )
    if hasattr(errno, name)  # not every system has all
)  # fmt: skip
"""System errors that the user can solve, such as a full disk or missing permissions."""

INTERRUPTED = 130
"""Exit code after an interrupt: 128 + SIGINT, as in shells."""


class HelpfulGroup(click.Group):
    """A group that answers a mistyped command with the one that is closest to it."""

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command that the first word names."""
        word = args[0]  # click takes words away while it looks
        try:
            return super().resolve_command(ctx, args)
        except click.UsageError as error:
            known = self.list_commands(ctx)
            close = did_you_mean(word, known)
            message = f"there is no command {shown(word)}{close or ';'} there are {', '.join(known)}"
            raise click.UsageError(message, ctx) from error


class _LazyGroup(HelpfulGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        cmd_name = ALIASES.get(cmd_name, cmd_name)
        if cmd_name not in COMMANDS:
            return None
        module = importlib.import_module(f"audioreactive.commands.{cmd_name}")
        command: click.Command = module.command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=_LazyGroup, context_settings=CONTEXT)
@click.version_option(package_name="audioreactive", prog_name="audioreactive", help="Show the version.")
def group() -> None:
    """Turn any song into a music video, painted or by a StyleGAN model, whose every motion follows what is heard."""


def main() -> NoReturn:
    """Entry point of `audioreactive`."""
    run(group, "audioreactive")


def render_main() -> NoReturn:
    """Entry point of `render`, which is `audioreactive render`."""
    from audioreactive.commands.render import command

    run(command, "render")


def run(command: click.Command, name: str) -> NoReturn:
    """Run a command and exit: with 0, with 2 and a sentence for an error of the user, or with 130 if interrupted."""
    signal.signal(signal.SIGTERM, _terminated)
    _open_what_is_closed()
    warnings.formatwarning = _as_sentence
    if isinstance(sys.stdout, io.TextIOWrapper):
        codecs.register_error("audioreactive.names", _as_it_is)
        # click would turn an ASCII stream into UTF-8 and print such bytes as question marks.
        encoding = "utf-8" if codecs.lookup(sys.stdout.encoding).name == "ascii" else None
        sys.stdout.reconfigure(encoding=encoding, errors="audioreactive.names")
    try:
        code = command.main(prog_name=name, standalone_mode=False)
    except click.ClickException as error:
        message = io.StringIO()
        error.show(message)
        for line in message.getvalue().splitlines():
            _tell(printable(line))
        if isinstance(error, click.UsageError):
            _tell_of_dashes()
        sys.exit(2)
    except (click.Abort, KeyboardInterrupt) as error:
        _tell_of_interrupt(error.__cause__ or error)
        sys.exit(INTERRUPTED)
    except _TerminatedError as error:
        _tell_of_interrupt(error)
        raise
    except BrokenPipeError:
        sys.exit(1)
    except Exception as error:
        if (sentence := sentence_for(error)) is None:
            raise
        _tell(f"error: {sentence}")
        sys.exit(2)
    sys.exit(code if isinstance(code, int) else 0)


def _open_what_is_closed() -> None:
    """Where a scheduler started the program without standard streams, give it such as lead nowhere.

    Else the first file that is opened would take the number of one, and get what is printed.
    """
    for number, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free, this one
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115  # until the end


def _tell(line: str) -> None:
    """Print a line to stderr, or nothing where stderr is a file on a full disk: the exit code tells as much."""
    try:
        click.echo(line, err=True)
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, 2)  # takes what is still buffered, which would fail again at the end
        os.close(nowhere)


def _tell_of_dashes() -> None:
    """Say how a file is given whose name was taken for an option."""
    for word in sys.argv[1:]:
        if word.startswith("-") and os.path.lexists(word):
            click.echo(printable(f"the file {shown(word)} begins as options do: give it as './{word}'"), err=True)


def _as_sentence(
    message: Warning | str, category: type[Warning], filename: str, lineno: int, line: str | None = None
) -> str:
    """Format a warning without its position in the code."""
    return f"warning: {printable(str(message))}\n"


def _terminated(signum: int, frame: FrameType | None) -> None:
    """Exit by an exception as for Ctrl-C, so that partial files are removed."""
    raise _TerminatedError(128 + signum)


class _TerminatedError(SystemExit):
    """SIGTERM: the system asked this process to end."""


def _tell_of_interrupt(error: BaseException) -> None:
    """One message: what is kept, as whoever kept it has noted on the interrupt; else, that nothing half-made is left.

    A second interrupt may hit what clears up after the first: the notes of both count.
    """
    notes: list[str] = []
    cause: BaseException | None = error
    while cause is not None:
        notes += [note for note in getattr(cause, "__notes__", ()) if note not in notes]
        cause = cause.__context__
    click.echo(f"interrupted; {printable('; '.join(notes)) or 'nothing half-made is left'}", err=True)


def _as_it_is(error: UnicodeError) -> tuple[str | bytes, int]:
    """Bytes of a file's name that are no text, as they are; letters that the terminal's encoding lacks, escaped."""
    if not isinstance(error, UnicodeEncodeError):
        raise error
    told = b""
    for letter in error.object[error.start : error.end]:
        is_byte = "\udc80" <= letter <= "\udcff"
        told += bytes([ord(letter) - 0xDC00]) if is_byte else letter.encode("ascii", "backslashreplace")
    return told, error.end


def sentence_for(error: Exception) -> str | None:
    """Message for an error that the user can solve, fit for a terminal; None for a bug.

    The generator's package is not imported for the question: an error of its can only come from a module that is there.
    """
    if isinstance(error, OSError) and error.errno == errno.ENAMETOOLONG:
        return f"no file can have a name this long: {shown(error.filename)}"
    if isinstance(error, OSError) and error.errno in _OF_THE_SYSTEM:
        return printable(described(error))
    errors = sys.modules.get("stylegan_ops.errors")
    mendable = isinstance(error, AudioReactiveError) or (errors is not None and isinstance(error, errors.StyleGANError))
    return printable(str(error)) if mendable else None
