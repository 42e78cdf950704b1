"""What a reader may do with a stranger's bytes, and whether it did no more."""

from __future__ import annotations

import contextlib
import os
import resource
import sys
import tempfile
import time
import traceback
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from audioreactive.errors import AudioReactiveError
from stylegan_ops.errors import StyleGANError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from fuzz.targets import Target

LONGEST_MESSAGE: Final = 1500
"""Characters of an error's message."""

_WRITES: Final = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND
_CHANGES: Final = frozenset({
    "os.remove", "os.rename", "os.mkdir", "os.rmdir", "os.symlink", "os.link", "os.chmod", "os.chown", "os.truncate",
    "os.utime", "os.setxattr", "shutil.rmtree", "shutil.move", "shutil.copyfile", "shutil.unpack_archive",
})  # fmt: skip
_NEVER: Final = (
    "exec", "compile", "code.__new__", "pickle.find_class", "marshal.", "ctypes.", "socket.", "os.system", "os.exec",
    "os.fork", "os.posix_spawn", "os.spawn", "os.kill", "os.putenv", "os.chdir", "urllib.", "http.", "ftplib.",
    "smtplib.", "webbrowser.",
)  # fmt: skip
"""Events of Python's audit (https://docs.python.org/3/library/audit_events.html) that no reader has a use for."""


@dataclass(frozen=True)
class Verdict:
    """What became of one input."""

    kind: str
    """`result`, `refusal`, or a finding: `error`, `message`, `time`, `memory`, `escape`."""
    detail: str
    """The refusal's message, or what the finding is and where."""
    seconds: float
    """Of the processor, programs that were started included: how busy the machine is has no part in it."""
    megabytes: float
    """That the process held at most, beyond what it held before."""

    @property
    def is_finding(self) -> bool:
        """Whether something is to be mended."""
        return self.kind not in ("result", "refusal")


class Escape(BaseException):
    """A reader touched what is not its own. No `except Exception` of ours hides it."""


class Guard:
    """Python's audit hook, switched on while a reader runs. A hook cannot be taken out again."""

    def __init__(self) -> None:
        self._scratch: str | None = None
        self._temporary = tempfile.gettempdir()  # its first call opens files, and holds a lock meanwhile
        self._programs: frozenset[str] = frozenset()
        self.escapes: list[str] = []
        sys.addaudithook(self._hook)

    @contextlib.contextmanager
    def watching(self, scratch: Path, programs: frozenset[str]) -> Iterator[None]:
        """Note, and stop, whatever is written outside `scratch`, and every program that is not one of these."""
        self._temporary = tempfile.gettempdir()
        self._scratch, self._programs, self.escapes = str(scratch.absolute()), programs, []
        try:
            yield
        finally:
            self._scratch = None

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._scratch is not None and self._is_forbidden(event, arguments):
            scratch, self._scratch = self._scratch, None  # what follows here is our own
            self.escapes.append(f"{event} {arguments!r}"[:200])
            self._scratch = scratch
            raise Escape(event)

    def _is_forbidden(self, event: str, arguments: tuple[Any, ...]) -> bool:
        if event == "open":
            path, _, flags = arguments  # a temporary file without a name is opened by the name of its folder
            found = bool(flags & _WRITES) and path != self._temporary and self._is_outside(path)
        elif event in _CHANGES:
            found = self._is_outside(*_changed(event, arguments))
        elif event == "subprocess.Popen":
            found = str(arguments[0]) not in self._programs
        elif event == "os.kill":  # a program that was allowed is ended when nobody reads on
            found = not _is_child(arguments[0])
        else:
            found = event.startswith(_NEVER)
        return found and not _is_import()

    def _is_outside(self, path: object, folder: object = None) -> bool:
        """Whether a name, as seen from a folder that is open under this number, is none of the scratch folder's."""
        if isinstance(path, int) or path is None:  # already open
            return False
        name = os.fsdecode(path)  # type: ignore[arg-type]
        if isinstance(folder, int) and folder >= 0 and not os.path.isabs(name):  # noqa: PTH117
            name = f"{_open_folder(folder)}/{name}"
        name = os.path.abspath(name)  # noqa: PTH100  # no more than text
        return not name.startswith((f"{self._scratch}{os.sep}", f"{self._temporary}{os.sep}tmp", "/dev/null"))


def _changed(event: str, arguments: tuple[Any, ...]) -> tuple[object, object]:
    """(name, number of the open folder that it is in) of what an event changes."""
    place = 1 if event in ("os.symlink", "os.link") else 0  # the link, not what it points to
    folder = {"os.remove": 1, "os.rmdir": 1, "shutil.rmtree": 1, "os.mkdir": 2, "os.rename": 2, "os.chmod": 2,
              "os.symlink": 2, "os.link": 3}.get(event)  # fmt: skip
    return arguments[place], None if folder is None or folder >= len(arguments) else arguments[folder]


def _open_folder(number: int) -> str:
    try:
        return str(Path(f"/proc/self/fd/{number}").readlink())
    except OSError:
        return "/"


def _is_child(process: int) -> bool:
    """Whether this is the number of a process that we have started and not yet awaited."""
    try:
        os.waitid(os.P_PID, process, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except OSError:
        return False
    return True


def _is_import() -> bool:
    """Whether Python is just importing a module: some of ours import others when they are first needed."""
    frame = sys._getframe()
    while (above := frame.f_back) is not None:
        frame = above
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
    return False


_guard: Guard | None = None


def judge(target: Target, data: bytes, scratch: Path) -> Verdict:
    """Give the bytes to the target's reader, in a folder of its own, and hold what happens to what is promised."""
    global _guard
    _guard = _guard or Guard()
    before, start = _held_memory(), _processor_time()
    kind, detail = "result", ""
    try:
        with _guard.watching(scratch, target.programs()) if target.is_guarded else contextlib.nullcontext():
            target.read(data, scratch)
    except (AudioReactiveError, StyleGANError) as error:
        kind, detail = "refusal", str(error)
        if not detail.isprintable() or not 10 < len(detail) <= LONGEST_MESSAGE:
            kind, detail = "message", f"{type(error).__name__}: {detail[:300]!r}"
    except KeyboardInterrupt:
        raise
    except BaseException as error:
        kind, detail = "error", _place(error)
    seconds, megabytes = _processor_time() - start, max(_largest_memory() - before, 0.0)
    if _guard.escapes:
        kind, detail = "escape", _guard.escapes[0]
    elif kind in ("result", "refusal") and seconds > target.seconds:
        kind, detail = "time", f"{seconds:.1f} s, more than {target.seconds}"
    elif kind in ("result", "refusal") and megabytes > target.megabytes:
        kind, detail = "memory", f"{megabytes:.0f} MB, more than {target.megabytes}"
    return Verdict(kind, detail, seconds, megabytes)


def _place(error: BaseException) -> str:
    """The exception and the last line of ours, by which findings are told apart."""
    frames = traceback.extract_tb(error.__traceback__)
    ours = [f for f in frames if "/audioreactive/" in f.filename or "/stylegan_ops/" in f.filename] or frames[-1:]
    where = f"{Path(ours[-1].filename).name}:{ours[-1].lineno}" if ours else "?"
    return f"{type(error).__name__} at {where}: {str(error)[:200]!r}"


def _processor_time() -> float:
    children = resource.getrusage(resource.RUSAGE_CHILDREN)
    return time.process_time() + children.ru_utime + children.ru_stime


_PROC: Final = Path("/proc/self")


def _held_memory() -> float:
    """Megabytes that the process holds; its record of the largest begins anew, where the system can (Linux)."""
    if not _PROC.exists():
        return _largest_memory()
    (_PROC / "clear_refs").write_text("5", "utf-8")
    return int((_PROC / "statm").read_text("utf-8").split()[1]) * resource.getpagesize() / 2**20


def _largest_memory() -> float:
    """Megabytes that the process held at most since then."""
    if not _PROC.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    status = (_PROC / "status").read_text("utf-8")
    return int(status.partition("VmHWM:")[2].split(maxsplit=1)[0]) / 1024
