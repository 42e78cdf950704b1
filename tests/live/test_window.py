"""The window, on a display that exists only in memory."""

from __future__ import annotations

import shutil
import subprocess
import sys

import numpy as np
import pytest

from audioreactive.live.window import with_word

SCRIPT = """
import numpy as np
from audioreactive.live.window import Window
pressed = []
window = Window((64, 36), {"N": lambda: pressed.append("N")})
picture = np.zeros((36, 64, 3), np.uint8)
picture[:18, :, 0] = 255
picture[:, :32, 1] = 128
window.show(picture, "")
window.show(picture, "")
assert (window.pixels() == picture).all()
window.press("N")
window.press("F")
window.show(picture, "")
window.show(picture, "")
full = window.pixels()
assert full.shape == (480, 640, 3) and (full[240 + 20, 620] == picture[20, 62]).all() and not full[20].any()
window.press("F")
window.press("Q")
assert pressed == ["N"] and not window.closed()
window.press("Escape")
assert window.closed()
window.close()
print("shown")
"""


PROBE = """
import glfw
assert glfw.init()
glfw.window_hint(glfw.CONTEXT_VERSION_MAJOR, 3)
glfw.window_hint(glfw.CONTEXT_VERSION_MINOR, 3)
assert glfw.create_window(64, 36, "", None, None)
"""
"""Script that ends well on a display with OpenGL 3.3, by GLFW alone: a fault of the window is not skipped."""


def on_a_display(script: str) -> subprocess.CompletedProcess[str]:
    words = ["xvfb-run", "-a", "-s", "-screen 0 640x480x24", sys.executable, "-W", "ignore", "-c", script]
    return subprocess.run(words, capture_output=True, text=True)


@pytest.mark.skipif(shutil.which("xvfb-run") is None, reason="needs Xvfb")
def test_pictures_fill_the_window_and_keys_act() -> None:
    pytest.importorskip("glfw")
    pytest.importorskip("moderngl")
    if on_a_display(PROBE).returncode:
        pytest.skip("the display has no OpenGL 3.3")
    done = on_a_display(SCRIPT)
    assert done.stdout.strip() == "shown", done.stderr


def test_a_word_is_written_into_a_copy() -> None:
    picture = np.full((120, 200, 3), 90, np.uint8)
    told = with_word(picture, "silence")
    assert told.max() > 200 and told.min() == 0
    assert (picture == 90).all()
    assert with_word(picture, "") is picture
