"""A window: pictures as a texture on the whole of it, keys, and a word where something is wrong."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from audioreactive.errors import LiveError, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from numpy.typing import NDArray

    Pixels = NDArray[np.uint8]

LACKING: Final = "a window needs a few more packages: pip install 'audioreactive[live]', or give --headless"
NO_DISPLAY: Final = "there is no display for a window ({reason}): give --headless, alone or with --record or --serve"
VERTEX: Final = """
#version 330
out vec2 place;
void main() {
    vec2 corner = vec2((gl_VertexID << 1) & 2, gl_VertexID & 2);
    place = vec2(corner.x, 1.0 - corner.y);
    gl_Position = vec4(corner * 2.0 - 1.0, 0.0, 1.0);
}
"""
FRAGMENT: Final = """
#version 330
uniform sampler2D picture;
in vec2 place;
out vec4 colour;
void main() { colour = vec4(texture(picture, place).rgb, 1.0); }
"""


class Window:
    """A window that shows pictures; `close` must follow.

    Args:
        size: (width, height) of the pictures.
        keys: key name (F, N, 1, Escape, ...) -> what it does; F and Escape are the window's own.
        fullscreen: whether it begins full screen.
        display: number of the display; None: the main one.

    Raises:
        LiveError: a package, a display or OpenGL 3.3 is missing.
    """

    def __init__(
        self, size: tuple[int, int], keys: Mapping[str, Callable[[], None]], *, fullscreen: bool = False,
        display: int | None = None,
    ) -> None:  # fmt: skip
        try:
            import glfw
            import moderngl
        except ModuleNotFoundError:
            raise LiveError(LACKING) from None
        except (OSError, ImportError) as error:
            raise LiveError(NO_DISPLAY.format(reason=printable(str(error), 100))) from None
        self._glfw, self._size, self._keys, self._display = glfw, size, keys, display
        self._handle = self._open(size)
        try:
            self._gl = moderngl.create_context(require=330)
            program = self._gl.program(vertex_shader=VERTEX, fragment_shader=FRAGMENT)
            self._array = self._gl.vertex_array(program, [])
            self._texture = self._gl.texture(size, 3, alignment=1)
            self._texture.filter = (moderngl.LINEAR, moderngl.LINEAR)
        except Exception as error:  # moderngl has no class for a context that is too old
            self.close()
            raise LiveError(NO_DISPLAY.format(reason=printable(str(error), 100))) from None
        self._place: tuple[int, int, int, int] | None = None
        if fullscreen:
            self.change_fullscreen()

    def show(self, pixels: Pixels, word: str) -> None:
        """Show a picture (H, W, 3)."""
        self._texture.write(np.ascontiguousarray(with_word(pixels, word)))
        width, height = self._glfw.get_framebuffer_size(self._handle)
        self._gl.screen.use()
        self._gl.viewport = (0, 0, width, height)
        self._gl.clear()
        self._gl.viewport = _fitted(self._size, (width, height))
        self._texture.use()
        self._array.render(vertices=3)
        self._glfw.swap_buffers(self._handle)
        self._glfw.poll_events()

    def closed(self) -> bool:
        """Whether it was closed."""
        return bool(self._glfw.window_should_close(self._handle))

    def pixels(self) -> Pixels:
        """Return what the window shows, (H, W, 3)."""
        width, height = self._glfw.get_framebuffer_size(self._handle)
        raw = self._gl.screen.read((0, 0, width, height), 3, alignment=1)
        return np.frombuffer(raw, np.uint8).reshape(height, width, 3)[::-1]

    def change_fullscreen(self) -> None:
        """Go full screen, or back."""
        glfw = self._glfw
        if self._place is None:
            monitor = self._monitor()
            mode = glfw.get_video_mode(monitor)
            self._place = (*glfw.get_window_pos(self._handle), *glfw.get_window_size(self._handle))
            glfw.set_window_monitor(self._handle, monitor, 0, 0, mode.size.width, mode.size.height, mode.refresh_rate)
        else:
            glfw.set_window_monitor(self._handle, None, *self._place, 0)
            self._place = None

    def press(self, key: str) -> None:
        """Do what a key does."""
        if key == "Escape":
            self._glfw.set_window_should_close(self._handle, True)
        elif key == "F":
            self.change_fullscreen()
        elif key in self._keys:
            self._keys[key]()

    def close(self) -> None:
        """Close it."""
        with contextlib.suppress(Exception):  # what is left of a lost display cannot be closed properly
            self._glfw.destroy_window(self._handle)
            self._glfw.terminate()

    def _open(self, size: tuple[int, int]) -> Any:
        glfw, reasons = self._glfw, []
        glfw.set_error_callback(lambda code, text: reasons.append(_text(text)))
        if not glfw.init():
            raise LiveError(NO_DISPLAY.format(reason=reasons[-1] if reasons else "no window system"))
        for hint, value in (
            (glfw.CONTEXT_VERSION_MAJOR, 3),
            (glfw.CONTEXT_VERSION_MINOR, 3),
            (glfw.OPENGL_PROFILE, glfw.OPENGL_CORE_PROFILE),
            (glfw.OPENGL_FORWARD_COMPAT, True),
        ):
            glfw.window_hint(hint, value)
        handle = glfw.create_window(*size, "audioreactive live", None, None)
        if not handle:
            glfw.terminate()
            raise LiveError(NO_DISPLAY.format(reason=reasons[-1] if reasons else "no OpenGL 3.3"))
        if self._display is not None:
            left, top = glfw.get_monitor_pos(self._monitor())
            glfw.set_window_pos(handle, left, top)
        glfw.make_context_current(handle)
        glfw.swap_interval(1)
        glfw.set_key_callback(handle, self._key)
        return handle

    def _monitor(self) -> Any:
        monitors = self._glfw.get_monitors()
        number = self._display or 0
        if number >= len(monitors):
            raise LiveError(f"there is no display {number}: this computer has {len(monitors)}, counted from 0")
        return monitors[number]

    def _key(self, handle: Any, key: int, scancode: int, action: int, mods: int) -> None:
        if action != self._glfw.PRESS:
            return
        if key == self._glfw.KEY_ESCAPE:
            self.press("Escape")
        elif 32 < key < 127:
            self.press(chr(key))


def with_word(pixels: Pixels, word: str) -> Pixels:
    """Write a word into the lower left corner of a copy of a picture (H, W, 3); without one, the picture itself."""
    if not word:
        return pixels
    from PIL import Image, ImageDraw, ImageFont

    picture = Image.fromarray(pixels)
    draw, height = ImageDraw.Draw(picture), pixels.shape[0]
    font = ImageFont.load_default(max(height // 30, 10))
    where = (height // 30, height - height // 12)
    box = draw.textbbox(where, word, font=font)
    draw.rectangle((box[0] - 6, box[1] - 4, box[2] + 6, box[3] + 4), fill=(0, 0, 0))
    draw.text(where, word, font=font, fill=(235, 235, 235))
    return np.asarray(picture)


def _fitted(picture: tuple[int, int], window: tuple[int, int]) -> tuple[int, int, int, int]:
    """Place (left, bottom, width, height) of a picture as large as a window allows, in its middle."""
    scale = min(window[0] / picture[0], window[1] / picture[1])
    width, height = round(picture[0] * scale), round(picture[1] * scale)
    return (window[0] - width) // 2, (window[1] - height) // 2, width, height


def _text(words: Any) -> str:
    return words.decode(errors="replace") if isinstance(words, bytes) else str(words)
