"""Paints the frames that a page wants to see, the most wanted first, in a few threads.

A page looks at views: the picture, and tiles of proposals beside it. Each view shows a clip. Its frames are painted in
this order: the one under the playhead, then every eighth, then all that follow the playhead. Finished frames are JPEG
files in a cache, and go to the page as long as it has room for them (credit).
"""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import numpy as np
import torch

from audioreactive.errors import AudioReactiveError
from audioreactive.generators.devices import useful_threads
from audioreactive.patches.latents import make_palette
from audioreactive.patches.noise import draw_field
from audioreactive.rendering.previews import shrink
from audioreactive.studio.clips import Recent

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from audioreactive.generators import Generator
    from audioreactive.patches.motion import Inputs
    from audioreactive.patches.schema import Palette
    from audioreactive.studio.clips import Clip

    Sink = Callable[[str, int, int, bytes], None]
    """Function that receives (view, number of the clip, frame of the song, JPEG) from a painting thread."""

CACHE_BYTES: Final = 192 << 20
"""Most bytes of finished frames that are kept: a quarter of an hour at a small size."""
SOON: Final = 36
"""Frames after the playhead that come before everything in the tiles."""
STEP: Final = 8
"""Distance of the frames that are painted first, so that a loop moves before it is whole."""
HELD: Final = 0.3
"""Seconds for which all else waits once another picture is asked for: planning it takes a part of them."""
QUALITY: Final = 84
"""Quality of the JPEG files."""
HEIGHTS: Final = (360, 270, 216, 144)
"""Heights of pictures, from which the largest is taken that is painted in time."""
TILE_HEIGHT: Final = 144
"""Height of a proposal's picture."""
BUSY: Final = 0.75
"""Share of the time that painting may take, so that it is done in time."""
MOST_THREADS: Final = 4
FINE: Final = 2
"""Factor on the size of a picture that is painted while the playhead rests."""
FINE_QUALITY: Final = 92
MOST_READY: Final = 16
"""Most clips whose noise and palette are kept ready."""
MOST_PALETTES: Final = 256
FIELD_BYTES: Final = 128 << 20
"""Most bytes of the noise's fields that are kept."""
AHEAD_SECONDS: Final = 12.0
"""How far ahead of the playhead a long clip is painted."""
LONG_SECONDS: Final = 90.0
"""Length from which a clip is long: it is painted only ahead of the playhead."""


@dataclass
class View:
    """One place in the page, the clip that it shows, and what is still to be painted."""

    name: str
    clip: Clip
    number: int
    """Number of the clip, which the page knows."""
    size: tuple[int, int]
    """(width, height) of the pictures."""
    at: int
    """Playhead: frame within the clip."""
    credit: int
    """Frames for which the page has room."""
    still: bool = False
    """Whether only the frame under the playhead is wanted, as while a slider moves."""
    playing: bool = False
    key: str = ""
    """What decides about the view's pictures: the clip's key and the size."""
    asked: bytearray = field(default_factory=bytearray)
    """1 for each frame that was painted or is being painted."""
    inputs: Inputs | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        self.asked = bytearray(len(self.clip))
        self.at = min(max(self.at, 0), len(self.clip) - 1)
        self.key = f"{self.clip.key} {self.size[0]}x{self.size[1]}"

    def next(self, fps: float, lead: int) -> int | None:
        """Choose the next frame to paint; None if there is none."""
        count = len(self.clip)
        if self.credit <= 0:
            return None
        if not self.asked[self.at]:
            return self.at
        if self.still:
            return None
        long = count > LONG_SECONDS * fps
        if not long:
            for step in range(self.at % STEP, count, STEP):
                place = (self.at - self.at % STEP + step) % count
                if not self.asked[place]:
                    return place
        begin = (self.at + (lead if self.playing else 0)) % count
        reach = min(int(AHEAD_SECONDS * fps), count) if long else count
        found = self.asked.find(0, begin, begin + reach)
        if found < 0 and begin + reach > count:
            found = self.asked.find(0, 0, begin + reach - count)
        if found < 0 and not long:
            found = self.asked.find(0)
        return None if found < 0 else found


class Easel:
    """The threads that paint, and the views that they paint for; every method may be called from any thread.

    Args:
        generator: makes the pictures.
        fps: frames a second.
        sink: receives finished frames.
        complain: receives the sentence of an error, once for each clip.
        threads: number of threads; None: one for each core, or one for a GPU.
    """

    def __init__(
        self,
        generator: Generator,
        fps: float,
        sink: Sink,
        complain: Callable[[str], None],
        *,
        threads: int | None = None,
    ) -> None:
        self._generator, self._sink, self._complain = generator.sketching(), sink, complain
        self._whole = generator
        self.fps = fps
        self._views: dict[str, View] = {}
        self._cache: Recent[tuple[str, int], bytes] = Recent(CACHE_BYTES, len)
        self._ready: Recent[tuple[str, tuple[int, int]], Inputs] = Recent(MOST_READY)
        self._palettes: Recent[str, torch.Tensor] = Recent(MOST_PALETTES)
        self._fields: Recent[tuple[int, int, tuple[int, int]], NDArray[np.float32]] = Recent(
            FIELD_BYTES, lambda f: f.nbytes
        )
        self._cost = {height: _expected(self._generator, height) for height in HEIGHTS}
        self._delay = self._cost[HEIGHTS[0]]  # seconds by the clock from choosing a frame until it is painted
        self._changed = threading.Condition()
        self._stopped = False
        self._held = 0.0
        self._numbers = 0
        count = threads or _threads(generator)
        self._threads = [threading.Thread(target=self._work, name=f"painter {i}", daemon=True) for i in range(count)]
        for thread in self._threads:
            thread.start()

    def show(
        self, name: str, clip: Clip, *, at: int, credit: int, still: bool = False, height: int | None = None,
        aspect: float = 16 / 9, playing: bool = False,
    ) -> View:  # fmt: skip
        """Show a clip in a view; what the view showed before is no longer painted.

        Args:
            name: name of the view.
            clip: the clip.
            at: frame within the clip that is wanted first.
            credit: frames for which the page has room.
            still: paint only the frame under the playhead.
            height: height of the pictures; None: as large as they are painted in time.
            aspect: width over height.
            playing: whether the playhead moves.
        """
        height = self.height() if height is None else height
        with self._changed:
            self._numbers += 1
            size = (max(2 * round(height * aspect / 2), 2), height)
            view = View(name, clip, self._numbers, size, at, credit, still, playing)
            self._views[name] = view
            self._changed.notify_all()
        return view

    def hold(self) -> None:
        """Paint only what is under the picture's playhead for a moment, because a person waits for it."""
        with self._changed:
            self._held = time.monotonic() + HELD

    def hide(self, name: str) -> None:
        """Stop painting for a view."""
        with self._changed:
            self._views.pop(name, None)

    def credit(self, name: str, number: int, count: int) -> None:
        """Take note that the page has room for more frames of a clip."""
        with self._changed:
            view = self._views.get(name)
            if view is not None and view.number == number:
                view.credit = min(view.credit + count, 1000)
                self._changed.notify_all()

    def move(self, at: dict[str, int], playing: bool) -> None:
        """Move the playheads of views, name -> frame within its clip."""
        with self._changed:
            for name, place in at.items():
                view = self._views.get(name)
                if view is not None:
                    view.at = min(max(place, 0), len(view.clip) - 1)
                    view.playing = playing
            self._changed.notify_all()

    def lost(self, name: str, number: int, frames: list[int]) -> None:
        """Take note that the page has dropped frames and may want them again."""
        with self._changed:
            view = self._views.get(name)
            if view is not None and view.number == number:
                for frame in frames:
                    if 0 <= frame - view.clip.frames.start < len(view.clip):
                        view.asked[frame - view.clip.frames.start] = 0
                self._changed.notify_all()

    def refine(self, name: str, number: int, place: int) -> None:
        """Paint one frame of a view again, without the roughness of a sketch, and send it; in the calling thread."""
        with self._changed:
            view = self._views.get(name)
            if view is None or view.number != number or not 0 <= place < len(view.clip):
                return
        width, height = view.size
        size = (width * FINE, height * FINE) if self._whole.families else (width, height)
        key = (f"{view.clip.key} fine {size}", view.clip.frames.start + place)
        with self._changed:
            known: bytes | None = self._cache.get(key)
        if known is None:
            known = jpeg(self._pixels(self._inputs(view.clip, size), place, size, self._whole), FINE_QUALITY)
            with self._changed:
                self._cache[key] = known
        with self._changed:
            current = self._views.get(name) is view
        if current:
            self._sink(name, number, view.clip.frames.start + place, known)

    def idle(self) -> bool:
        """Whether nothing is wanted at the moment."""
        with self._changed:
            return all(view.next(self.fps, 0) is None for view in self._views.values())

    def height(self) -> int:
        """Choose the largest height at which frames are painted in time."""
        budget = BUSY * len(self._threads) / self.fps
        return next((height for height in HEIGHTS if self._cost[height] <= budget), HEIGHTS[-1])

    def stop(self) -> None:
        """End the threads."""
        with self._changed:
            self._stopped = True
            self._views.clear()
            self._changed.notify_all()
        for thread in self._threads:
            thread.join()

    def paint(self, clip: Clip, frame: int, size: tuple[int, int]) -> NDArray[np.uint8]:
        """Paint one frame of a clip (h, w, 3) at once, in the calling thread."""
        inputs = self._inputs(clip, size)
        return self._pixels(inputs, frame - clip.frames.start, size)

    def _work(self) -> None:
        torch.set_num_threads(max(torch.get_num_threads() // len(self._threads), 1))  # of this thread alone
        while True:
            with self._changed:
                while not self._stopped and (task := self._task()) is None:
                    left = self._held - time.monotonic()
                    self._changed.wait(left if left > 0 else None)
                if self._stopped or task is None:
                    return
                view, place = task
                view.asked[place] = 1
                view.credit -= 1
            chosen = time.monotonic()
            try:
                picture = self._picture(view, place)
            except (AudioReactiveError, RuntimeError, MemoryError) as error:
                with self._changed:
                    if self._views.get(view.name) is view:
                        del self._views[view.name]
                self._complain(str(error).partition("\n")[0])
                continue
            with self._changed:
                self._delay += 0.1 * (time.monotonic() - chosen - self._delay)
                current = self._views.get(view.name) is view
                if view.name == "main" and not view.still:
                    self._held = 0.0
                    self._changed.notify_all()
            if current:
                self._sink(view.name, view.number, view.clip.frames.start + place, picture)

    def _task(self) -> tuple[View, int] | None:
        """Choose the view and the frame to paint next."""
        found = []
        held = time.monotonic() < self._held
        lead = int(self._delay * self.fps) + 1
        for view in self._views.values():
            if held and (view.name != "main" or view.asked[view.at]):
                continue
            place = view.next(self.fps, lead)
            if place is not None:
                found.append((self._rank(view, place), view.name, view, place))
        if not found:
            return None
        return min(found, key=lambda entry: entry[:2])[2:]

    @staticmethod
    def _rank(view: View, place: int) -> tuple[int, float]:
        """Rank a task: frames under playheads, what the picture needs soon, then views of which least is painted."""
        is_main = view.name == "main"
        if place == view.at:
            return (0, 0.0 if is_main else 1.0)
        if is_main and view.playing and place - view.at < SOON:
            return (1, 0.0)
        share = view.asked.count(1) / len(view.asked)
        return (2, share / 2 if is_main else share)

    def _picture(self, view: View, place: int) -> bytes:
        key = (view.key, view.clip.frames.start + place)
        with self._changed:
            known: bytes | None = self._cache.get(key)
        if known is not None:
            return known
        with view.lock:
            if view.inputs is None:
                view.inputs = self._inputs(view.clip, view.size)
        begun = time.thread_time()
        picture = jpeg(self._pixels(view.inputs, place, view.size))
        took = time.thread_time() - begun
        with self._changed:
            self._cache[key] = picture
            if view.size[1] in self._cost:
                self._cost[view.size[1]] += 0.1 * (took - self._cost[view.size[1]])
        return picture

    def _inputs(self, clip: Clip, size: tuple[int, int]) -> Inputs:
        key = (clip.key, size)
        with self._changed:
            known: Inputs | None = self._ready.get(key)
        if known is None:
            width, height = self._generator.widened((size[1], size[0]))[::-1]
            vectors = torch.cat([self._vectors(palette) for palette in clip.motion.palettes])
            known = clip.motion.on(self._generator, vectors, size=(width, height), draw=self._field)
            with self._changed:
                self._ready[key] = known
        return known

    def _vectors(self, palette: Palette) -> torch.Tensor:
        """Map a palette, or take what was mapped before."""
        key = palette.model_dump_json()
        with self._changed:
            known: torch.Tensor | None = self._palettes.get(key)
        if known is None:
            known = make_palette(palette, self._generator)
            with self._changed:
                self._palettes[key] = known
        return known

    def _field(self, seed: int, layer: int, size: tuple[int, int]) -> NDArray[np.float32]:
        """Draw a field of the noise, or take what was drawn before."""
        key = (seed, layer, size)
        with self._changed:
            known: NDArray[np.float32] | None = self._fields.get(key)
        if known is None:
            known = draw_field(seed, layer, size)
            with self._changed:
                self._fields[key] = known
        return known

    def _pixels(
        self, inputs: Inputs, place: int, size: tuple[int, int], generator: Generator | None = None
    ) -> NDArray[np.uint8]:
        from audioreactive.generators import to_uint8

        width, height = inputs.canvas.frame_size
        generator = (generator or self._generator).resized((height, width))
        with torch.inference_mode():
            images: torch.Tensor = generator.synthesis(*inputs.frames(place, place + 1)).float().clamp(-1, 1)
            pixels = to_uint8(shrink(images, size[1]))[0]
        array: NDArray[np.uint8] = pixels.cpu().numpy()
        return array


def jpeg(picture: NDArray[np.uint8], quality: int = QUALITY) -> bytes:
    """Write a picture (h, w, 3) as a JPEG file."""
    import cv2

    flags = [cv2.IMWRITE_JPEG_QUALITY, quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, 0x411111]
    done, data = cv2.imencode(".jpg", np.ascontiguousarray(picture[:, :, ::-1]), flags)
    assert done
    return data.tobytes()


def _threads(generator: Generator) -> int:
    if generator.device.type != "cpu" or useful_threads(_small(generator, HEIGHTS[0]).cost) > 1:
        return 1
    return min(max(torch.get_num_threads(), 1), MOST_THREADS)


def _expected(generator: Generator, height: int) -> float:
    """Guess the seconds of a frame before one was painted: of a generator of any size, by its work."""
    return 2e-3 + _small(generator, height).cost.multiplications / 5e10


def _small(generator: Generator, height: int) -> Generator:
    return generator.resized(generator.widened((height, round(height * 16 / 9))))
