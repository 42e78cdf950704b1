"""Progress on terminals of odd sizes."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import sys
import termios

import pytest

CODE = """
from audioreactive.commands.bars import Bars
with Bars().track("listening", 100, "%") as advance:
    advance(100)
"""


UTF8 = {**os.environ, "PYTHONUTF8": "1"}


@pytest.mark.parametrize(("rows", "columns"), [(0, 0), (1, 80), (2, 80), (24, 1), (24, 80)])
def test_every_terminal_gets_the_same_bar(rows: int, columns: int) -> None:
    ours, theirs = pty.openpty()
    try:
        fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        subprocess.run([sys.executable, "-c", CODE], stdin=theirs, stdout=theirs, stderr=theirs, check=True, env=UTF8)
        os.close(theirs)
        shown = b""
        with contextlib.suppress(OSError):  # so ends what nobody writes to
            while part := os.read(ours, 4096):
                shown += part
    finally:
        os.close(ours)
    last = shown.decode().strip().splitlines()[-1].split("\r")[-1]
    assert last == "listening 100% |" + 24 * "█" + "| 00:00 left"
