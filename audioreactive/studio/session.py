"""One page's connection: messages in, answers and frames out.

Messages are JSON texts with a `type`; frames are binary: number of the clip and frame of the song (four bytes each,
lowest first), then a JPEG file. Frames are sent only as far as the page has given credit.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import struct
import time
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from audioreactive.errors import AudioReactiveError, Cancelled, PresetError, printable
from audioreactive.studio.answers import flashes_in, score_of
from audioreactive.studio.edits import Redraw, UseTake, edit_of
from audioreactive.studio.messages import (
    Ask,
    At,
    Edit,
    Fit,
    Hide,
    JobCommand,
    Leave,
    Lost,
    Message,
    MoreCredit,
    Ping,
    Refine,
    Render,
    Show,
    Step,
    StopFit,
    message_of,
    next_text,
)
from audioreactive.studio.painting import TILE_HEIGHT, Easel

if TYPE_CHECKING:
    from collections.abc import Callable

    from starlette.websockets import WebSocket

    from audioreactive.studio.clips import Clip
    from audioreactive.studio.renders import Renders
    from audioreactive.studio.studio import Studio

MOST_WAITING: Final = 256
"""Most messages that wait; a page that sends faster is cut off."""
REFIT: Final = 2.0
"""Seconds after an edit at which a motion that was fitted to pictures is fitted to them as they are now."""
AUTOSAVE: Final = 0.7
"""Seconds after an edit at which the preset file is written."""


class Session:
    """A page that is connected. Its messages are handled in order, but frames are painted meanwhile.

    Args:
        studio: the open project.
        renders: the queue of videos.
        socket: connection to the page.
        planner: thread in which edits are made.
        thinker: thread in which slower questions are answered.
        gone: set when the page has to go.
    """

    def __init__(
        self,
        studio: Studio,
        renders: Renders,
        socket: WebSocket,
        planner: ThreadPoolExecutor,
        thinker: ThreadPoolExecutor,
        gone: asyncio.Event,
    ) -> None:
        self._studio, self._renders, self._socket = studio, renders, socket
        self._planner, self._thinker = planner, thinker
        self._loop = asyncio.get_running_loop()
        self._inbox: deque[Message] = deque()
        self._arrived = asyncio.Event()
        self._outbox: asyncio.Queue[str | bytes | None] = asyncio.Queue()
        self._clips: dict[str, tuple[int, Clip]] = {}
        self._tasks: set[asyncio.Task[Any]] = set()
        self._asked: dict[str, int] = {}
        self._playing = False
        self._unsaved = 0.0
        self._fitter = ThreadPoolExecutor(1, "fitter")
        self._fits = 0
        """Number of the fit that is wanted; others stop."""
        self._refit_at = 0.0
        self._gone = gone
        self.ended = asyncio.Event()
        self.left = False
        """Whether the page wants another project."""
        size = studio.state.document.preset.render.size or "1920x1080"
        self._aspect = _aspect(size)
        self._easel = Easel(studio.loaded.generator, float(studio.fps), self._painted, self._complain)

    async def run(self) -> None:
        """Serve the page until it goes."""
        self._say({"type": "song", "song": self._heard()})
        self._tell_state()
        self.tell_renders()
        writer = asyncio.create_task(self._write())
        worker = asyncio.create_task(self._work())
        saver = asyncio.create_task(self._save())
        fitter = asyncio.create_task(self._refit())
        if self._studio.unfitted():
            self._refit_at = time.monotonic() + REFIT
        reader = asyncio.create_task(self._read())
        ended = asyncio.create_task(self.ended.wait())
        gone = asyncio.create_task(self._gone.wait())
        try:
            await asyncio.wait({reader, worker, writer, ended, gone}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self.ended.set()
            if not self.left:
                self._gone.set()  # the next page need not wait until this one's work is saved
            tasks = (writer, worker, saver, fitter, reader, ended, gone, *self._tasks)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            self._fitter.shutdown(wait=False)
            await self._loop.run_in_executor(None, self._easel.stop)
            await self._plan(self._studio.save)

    def _heard(self) -> dict[str, Any]:
        return {**self._studio.heard(), "folders": [str(folder) for folder in self._renders.folders]}

    def tell_renders(self) -> None:
        """Tell the page about the queue; may be called from any thread."""
        self._loop.call_soon_threadsafe(self._say_renders)

    def _say_renders(self) -> None:
        # Described here, in one thread: what two threads describe might arrive in the wrong order.
        self._say({"type": "renders", "jobs": [job.described() for job in list(self._renders.jobs)]})

    def refresh(self) -> None:
        """Tell the page about the song and the document anew."""
        self._say({"type": "song", "song": self._heard()})
        self._after_edit()

    async def _read(self) -> None:
        while True:
            text = await next_text(self._socket)
            try:
                message = message_of(text)
            except PresetError as error:
                self._say({"type": "error", "message": str(error)})
                continue
            match message:
                case MoreCredit():
                    self._easel.credit(message.view, message.clip, message.count)
                case At():
                    self._move(message)
                case Lost():
                    self._easel.lost(message.view, message.clip, message.frames)
                case Hide():
                    self._easel.hide(message.view)
                    self._clips.pop(message.view, None)
                case Leave():
                    self.left = True
                    self.ended.set()
                case Ping():
                    self._say({"type": "pong"})
                case _:
                    if len(self._inbox) >= MOST_WAITING:
                        return
                    if isinstance(message, Show) and message.view == "main" and not message.playing:
                        self._easel.hold()
                    self._inbox.append(message)
                    self._arrived.set()

    async def _write(self) -> None:
        while True:
            item = await self._outbox.get()
            if isinstance(item, bytes):
                await self._socket.send_bytes(item)
            elif item is not None:
                await self._socket.send_text(item)

    async def _work(self) -> None:
        while True:
            await self._arrived.wait()
            self._arrived.clear()
            while self._inbox:
                message = self._inbox.popleft()
                if self._is_overtaken(message):
                    continue
                try:
                    await self._handle(message)
                except AudioReactiveError as error:
                    self._say({"type": "error", "message": printable(str(error), 500)})

    def _is_overtaken(self, message: Message) -> bool:
        """Whether a later message shows something else in the same view."""
        return isinstance(message, Show) and any(
            isinstance(later, Show) and later.view == message.view for later in self._inbox
        )

    async def _handle(self, message: Message) -> None:
        match message:
            case Show():
                await self._show(message)
            case Edit():
                edit = edit_of(message.edit)
                await self._plan(lambda: self._studio.edit(edit))
                self._after_edit()
            case Step():
                await self._plan(self._studio.undo if message.type == "undo" else self._studio.redo)
                self._after_edit()
            case Refine():
                shown = self._clips.get("main")
                if shown is not None and shown[0] == message.clip:
                    place = message.frame - shown[1].frames.start
                    self._spawn(self._think(lambda: self._easel.refine("main", message.clip, place)))
            case Ask():
                self._spawn(self._answer(message))
            case Fit():
                self._fits += 1
                self._spawn(self._fit(lambda step: self._studio.fit_hippo(message.section, message.seed, step)))
            case StopFit():
                self._fits += 1
                self._refit_at = 0.0
            case Render():
                for delivery in message.deliveries:
                    self._renders.add(delivery, self._studio.state.document.preset)
            case JobCommand():
                (self._renders.cancel if message.type == "cancel" else self._renders.resume)(message.job)

    async def _show(self, message: Show) -> None:
        begun = time.perf_counter()
        clip = await self._plan(lambda: self._clip(message))
        height = message.height or (TILE_HEIGHT if message.view.startswith("tile") else None)
        view = self._easel.show(
            message.view,
            clip,
            at=_place(message.view, clip, message.at),
            credit=message.credit,
            still=message.still,
            height=height,
            aspect=self._aspect,
            playing=message.playing,
        )
        self._clips[message.view] = (view.number, clip)
        told = {
            "type": "clip", "view": message.view, "clip": view.number, "key": view.key, "section": message.section,
            "start": clip.frames.start, "stop": clip.frames.stop, "width": view.size[0], "height": view.size[1],
            "still": message.still, "planned": round(1000 * (time.perf_counter() - begun)),
        }  # fmt: skip
        self._say(told)

    def _clip(self, message: Show) -> Clip:
        studio = self._studio
        if message.section is None:
            return studio.clips.of_preset(studio.preset_after(None), studio.window(message.at))
        frames = studio.frames_of(message.section)
        if message.still:
            at = min(max(message.at, frames.start), frames.stop - 1)
            frames = range(at, at + 1)
        if message.solo:
            return studio.clips.of_preset(studio.soloed(message.section, frozenset(message.solo)), frames)
        if message.edit is None:
            return studio.clips.of_preset(studio.preset_after(None), frames)
        edit = edit_of(message.edit)
        if message.view != "main" and isinstance(edit, Redraw | UseTake):
            return studio.clips.of_patch(studio.patch_after(edit), frames)
        return studio.clips.of_preset(studio.preset_after(edit), frames)

    def _move(self, message: At) -> None:
        self._playing = message.playing
        places = {name: _place(name, clip, message.frame) for name, (_, clip) in self._clips.items()}
        self._easel.move(places, message.playing)

    def _after_edit(self) -> None:
        if self._studio.unfitted():
            self._fits += 1  # what is being fitted is no longer wanted
            self._refit_at = time.monotonic() + REFIT
        self._aspect = _aspect(self._studio.state.document.preset.render.size or "1920x1080")
        self._tell_state()
        self._unsaved = time.monotonic()

    async def _save(self) -> None:
        """Write the preset file soon after an edit."""
        while True:
            await asyncio.sleep(0.1)
            if self._unsaved and time.monotonic() - self._unsaved > AUTOSAVE:
                self._unsaved = 0.0
                try:
                    await self._plan(self._studio.save)
                    self._say({"type": "saved"})
                except AudioReactiveError as error:
                    self._say({"type": "error", "message": printable(str(error), 500)})

    async def _answer(self, message: Ask) -> None:
        number = self._asked[message.what] = self._asked.get(message.what, 0) + 1

        def going() -> bool:
            while not self.ended.is_set() and self._asked[message.what] == number:
                if self._easel.idle() or not self._playing:
                    return True
                time.sleep(0.05)
            return False

        studio = self._studio
        try:
            match message.what:
                case "envelopes":
                    found = await self._plan(lambda: studio.envelopes(message.section))
                    self._say({"type": "envelopes", "section": message.section, "envelopes": found})
                case "scores":
                    await self._scores(going)
                case "flashes":
                    await self._flashes(message, going)
                case "best":
                    await self._best(message, going)
                case "palette":
                    await self._palette(message, going)
        except AudioReactiveError as error:
            self._say({"type": "error", "message": printable(str(error), 500)})

    async def _scores(self, going: Any) -> None:
        studio = self._studio
        for section in range(len(studio.state.arrangement)):
            preset = studio.state.document.preset
            clip = await self._plan(lambda s=section, p=preset: studio.clips.of_preset(p, studio.frames_of(s)))
            score = await self._think(lambda c=clip: score_of(c, studio.features) if going() else None)
            self._say({"type": "score", "section": section, "score": score})

    async def _flashes(self, message: Ask, going: Any) -> None:
        studio = self._studio
        preset = studio.state.document.preset
        clip = await self._plan(lambda: studio.clips.of_preset(preset, studio.frames_of(message.section)))
        found = await self._think(lambda: flashes_in(clip, self._easel, float(studio.fps), going))
        if found is not None:
            self._say({"type": "flashes", "section": message.section, "flashes": found})

    async def _best(self, message: Ask, going: Any) -> None:
        """Score proposals of many seeds, and tell them in order, the best first."""
        studio, scored = self._studio, []
        seeds = [seed for seed in message.seeds if isinstance(seed, int)]
        for done, seed in enumerate(seeds):
            edit = edit_of({"kind": "redraw", "section": message.section, "seed": seed, "keep": message.keep})
            frames = studio.frames_of(message.section)
            clip = await self._plan(lambda e=edit, f=frames: studio.clips.of_patch(studio.patch_after(e), f))
            score = await self._think(lambda c=clip: score_of(c, studio.features))
            if not going():
                return
            scored.append({"seed": seed, "score": score})
            ordered = sorted(scored, key=lambda entry: -(entry["score"] if entry["score"] is not None else -99))
            self._say({"type": "best", "section": message.section, "done": done + 1, "of": len(seeds),
                       "order": ordered})  # fmt: skip

    async def _palette(self, message: Ask, going: Any) -> None:
        """Paint the pictures of seeds, for the palette's grid."""
        import base64

        from audioreactive.patches.schema import seed_number
        from audioreactive.rendering.previews import palette_pictures
        from audioreactive.studio.painting import jpeg

        studio = self._studio
        part = studio.state.arrangement.parts[min(message.section, len(studio.state.arrangement) - 1)]
        generator = studio.loaded.generator.sketching()
        small = generator.resized(generator.widened((96, 96 if not generator.families else 170)))
        family = part.patch.palette.family
        if family is None and generator.families:
            family = list(generator.families)[seed_number(part.patch.palette.seeds[0]) % len(generator.families)]

        def picture(seed: int | str) -> str:
            palette = part.patch.palette.model_copy(
                update={"seeds": (seed,), "coarse": None, "middle": None, "fine": None, "family": family}
            )
            return base64.b64encode(jpeg(palette_pictures(small, palette, height=96)[0])).decode()

        for seed in message.seeds:
            if not going():
                return
            self._say({"type": "swatch", "seed": seed, "jpeg": await self._think(lambda s=seed: picture(s))})

    async def _fit(self, fit: Callable[[Callable[[Any], bool]], object]) -> None:
        """Fit a motion; whatever comes later stops it."""
        number, told = self._fits, 0.0

        def step(entry: Any) -> bool:
            nonlocal told
            if time.monotonic() - told > 0.2 or entry.done == entry.total:
                told = time.monotonic()
                share = {"stage": entry.stage, "done": entry.done, "of": entry.total}
                self._loop.call_soon_threadsafe(self._say, {"type": "fitting", **share})
            while self._playing and not self._easel.idle() and not self.ended.is_set() and self._fits == number:
                time.sleep(0.05)  # what is looked at comes first
            return not self.ended.is_set() and self._fits == number

        try:
            await self._loop.run_in_executor(self._fitter, fit, step)
            self._after_edit()
            self._say({"type": "fitted"})
        except Cancelled:
            pass
        except AudioReactiveError as error:
            self._say({"type": "error", "message": printable(str(error), 500)})
        self._say({"type": "fitting", "stage": "", "done": 1, "of": 1})

    async def _refit(self) -> None:
        """Fit motions anew some time after an edit of what surrounds them."""
        while True:
            await asyncio.sleep(0.1)
            if not self._refit_at or time.monotonic() < self._refit_at:
                continue
            self._refit_at = 0.0
            labels = self._studio.unfitted()
            if labels:
                self._fits += 1
                await self._fit(partial(self._studio.fit, labels[0]))

    def _painted(self, view: str, number: int, frame: int, picture: bytes) -> None:
        data = struct.pack("<II", number, frame) + picture
        with contextlib.suppress(RuntimeError):  # the loop has ended
            self._loop.call_soon_threadsafe(self._outbox.put_nowait, data)

    def _complain(self, message: str) -> None:
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._say, {"type": "error", "message": printable(message, 500)})

    def _tell_state(self) -> None:
        self._say({"type": "state", "state": self._studio.described()})

    def _say(self, message: dict[str, Any]) -> None:
        self._outbox.put_nowait(json.dumps(message, separators=(",", ":")))

    def _spawn(self, work: Any) -> None:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _plan(self, function: Any) -> Any:
        return await self._loop.run_in_executor(self._planner, function)

    async def _think(self, function: Any) -> Any:
        return await self._loop.run_in_executor(self._thinker, function)


def _place(view: str, clip: Clip, frame: int) -> int:
    """Find the place in a clip of a frame of the song, as the page does: a tile loops while another part plays."""
    begin, count = clip.frames.start, len(clip)
    if view.startswith("tile") and frame not in clip.frames:
        return frame % count
    return min(max(frame - begin, 0), count - 1)


def _aspect(size: str) -> float:
    from audioreactive.generators import parse_size

    width, height = parse_size(size)
    return min(max(width / height, 0.4), 3.0)
