"""The studio behind its port: who is let in, what a page may ask for, and what it gets."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import random
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
from PIL import Image
from studio_pages import PATIENCE, Page, Running, connected

from audioreactive.patches.overrides import with_value
from audioreactive.patches.preset import preset_of
from audioreactive.patches.presets import load_preset, preset_text
from audioreactive.patches.randomizer import random_patch
from audioreactive.studio import answers, painting, renders
from audioreactive.studio import server as server_module
from audioreactive.studio.project import kept_stems

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from audioreactive.progress import Advance


def ask(
    running: Running, path: str, method: str = "GET", headers: dict[str, str] | None = None, body: Any = None
) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", running.port, timeout=PATIENCE)
    try:
        connection.putrequest(method, path, skip_host=bool(headers and "Host" in headers))
        for name, value in (headers or {}).items():
            connection.putheader(name, value)
        if body is not None and "Content-Length" not in (headers or {}):
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        answer = connection.getresponse()
        return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()
    finally:
        connection.close()


def test_the_page_comes_to_whoever_has_its_address(running: Running) -> None:
    status, headers, body = ask(running, "/?token=secret")
    assert status == 200 and b"/page/main.js" in body
    assert "frame-ancestors 'none'" in headers["content-security-policy"]
    for name in ("main.js", "style.css", "timeline.js", "icon.svg"):
        assert ask(running, f"/page/{name}")[0] == 200
    text = "".join(path.read_text("utf-8") for path in server_module.PAGE.iterdir())
    assert "https://" not in text and text.count("http://") == text.count("http://www.w3.org/"), "nothing from outside"


@pytest.mark.parametrize(
    ("path", "headers"),
    [
        ("/", {}),
        ("/?token=", {}),
        ("/?token=wrong", {}),
        ("/?token=secret&token=secret", {}),
        ("/?token=secret", {"Host": "evil.example"}),
        ("/?token=secret", {"Host": "127.0.0.1:1"}),
        ("/preset?token=secret", {"Origin": "http://evil.example"}),
        ("/preset?token=secret", {"Origin": "null"}),
        ("/preset?token=secret", {"Sec-Fetch-Site": "cross-site"}),
        ("/page/main.js", {"Host": "evil.example"}),
    ],
)
def test_everybody_else_is_refused(running: Running, path: str, headers: dict[str, str]) -> None:
    assert ask(running, path, headers=headers)[0] == 403
    assert ask(running, path, "POST", {**headers, "Content-Length": "0"})[0] == 403


@pytest.mark.parametrize(
    "path",
    ["/page/../server.py", "/page/%2e%2e/server.py", "/page/..%2f..%2f..%2fpyproject.toml", "/page//etc/passwd",
     "/video/../../etc/passwd?token=secret", "/video/1?token=secret", "/video/-1?token=secret",
     "/nothing?token=secret"],
)  # fmt: skip
def test_no_path_leads_out_of_the_page(running: Running, path: str) -> None:
    status, _, body = ask(running, path)
    assert status in (400, 403, 404) and b"root:" not in body and b"import" not in body


def test_connections_need_the_page_s_origin_and_the_token(running: Running) -> None:
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    base = f"ws://127.0.0.1:{running.port}/socket"
    mine = f"http://127.0.0.1:{running.port}"
    for address, origin in ((f"{base}?token=secret", None), (f"{base}?token=secret", "http://evil.example"),
                            (base, mine), (f"{base}?token=x", mine)):  # fmt: skip
        with pytest.raises(InvalidStatus), connect(address, origin=origin):
            pass


def test_sound_is_what_the_video_plays(running: Running) -> None:
    status, _, body = ask(running, "/sound?start=1000&stop=3000&token=secret")
    assert status == 200
    expected = soundfile.read(running.song, dtype="int16", start=1000, stop=3000)[0]
    assert np.abs(np.frombuffer(body, "<i2").reshape(-1, 2).astype(int) - expected).max() <= 1
    for asked in ("start=5&stop=5", "start=-1&stop=5", "start=0&stop=99999999999", "start=a&stop=b", "start=1"):
        assert ask(running, f"/sound?{asked}&token=secret")[0] == 400
    peaks = np.frombuffer(ask(running, "/peaks?token=secret")[2], np.int8).reshape(-1, 2)
    assert len(peaks) == 1200
    whole = soundfile.read(running.song)[0]
    second = whole[24576 : 2 * 24576]
    assert peaks[100:200, 1].max() == pytest.approx(127 * second.max(), abs=1)
    assert peaks[100:200, 0].min() == pytest.approx(127 * second.min(), abs=1)


def test_frames_are_those_of_the_video_and_come_by_credit(page: Page, running: Running) -> None:
    page.send(type="show", view="main", section=0, at=5, credit=6, height=144)
    clip = page.until("clip")
    assert page.until("frame")["frame"] == clip["start"] + 5, "the one under the playhead comes first"
    page.until_frames(6)
    assert len(page.frames) == 6, "as many as there is room for"
    assert {(frame - clip["start"]) % 8 for _, frame, _ in page.frames[1:3]} == {5 % 8}, "every eighth comes next"
    page.send(type="credit", view="main", clip=clip["clip"], count=3)
    page.until_frames(9)
    assert len(page.frames) == 9
    studio = running.studio
    from audioreactive.pipeline.preparing import make_motion

    motion = make_motion(studio.state.document.preset, studio.features)
    generator = studio.loaded.generator.sketching().resized((clip["height"], clip["width"]))
    inputs = motion.on(generator)
    number, frame, data = page.frames[0]
    picture = generator.frame_function("rgb24")(*inputs.frames(frame, frame + 1))[0].numpy()
    shown = np.asarray(Image.open(io.BytesIO(data)))
    assert number == clip["clip"] and shown.shape == picture.shape
    assert np.abs(shown.astype(int) - picture).mean() < 8, "JPEG's loss alone"


def test_what_a_person_waits_for_is_painted_alone(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(painting, "HELD", 10 * PATIENCE)
    studio = running.studio
    painted: list[tuple[str, int]] = []
    clip = studio.clips.of_preset(studio.state.document.preset, range(240))
    easel = painting.Easel(
        studio.loaded.generator, 24.0, lambda view, _, frame, __: painted.append((view, frame)), pytest.fail, threads=1
    )

    def until(condition: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not condition() and time.monotonic() < end:
            time.sleep(0.01)
        assert condition(), painted

    try:
        easel.show("tile0", clip, at=0, credit=240, height=144)
        until(lambda: len(painted) > 1)
        easel.hold()
        easel.show("main", clip, at=3, credit=240, height=144, still=True)
        until(lambda: ("main", 3) in painted)
        after = len(painted)
        time.sleep(0.5)
        assert len(painted) == after < 240, "the tile waits while a slider moves"
        easel.show("main", clip, at=5, credit=9, height=144)
        until(lambda: painted[-1][0] == "tile0")
        assert painted[after] == ("main", 5), "the tile goes on once the picture is there"
    finally:
        easel.stop()


@pytest.mark.parametrize(("view", "wanted"), [("tile0", 70 % 48), ("main", 47)])
def test_a_long_clip_is_painted_where_the_page_looks(
    view: str, wanted: int, page: Page, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(painting, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(painting, "AHEAD_SECONDS", 0.0)
    page.send(type="edit", edit={"kind": "split", "section": 0, "at": float(48 / running.studio.fps)})
    page.until("state")
    page.send(type="show", view=view, section=0, at=0, credit=9)
    clip = page.until("clip", view=view)
    assert clip["stop"] - clip["start"] == 48
    page.until_frames(1)
    page.send(type="at", frame=70, playing=True)  # in the part after it: tiles loop, and the picture rests at its end
    page.until_frames(2)
    assert [frame for _, frame, _ in page.frames] == [0, wanted]
    page.send(type="undo")
    page.until("state")  # or the page is gone before the studio has read it


def test_a_slow_machine_paints_further_ahead(running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    """A frame that is painted after its time is one that nobody sees."""
    monkeypatch.setattr(painting, "LONG_SECONDS", 0.0)
    monkeypatch.setattr(painting.Easel, "_inputs", lambda *_: None)
    monkeypatch.setattr(painting.Easel, "_pixels", lambda *_: time.sleep(0.3) or np.zeros((2, 2, 3), np.uint8))
    painted: list[int] = []
    studio = running.studio
    clip = studio.clips.of_preset(studio.state.document.preset, range(240))
    easel = painting.Easel(
        studio.loaded.generator, 240.0, lambda *told: painted.append(told[2]), pytest.fail, threads=1
    )
    try:
        easel.show("tile0", clip, at=0, credit=12, playing=True)
        end = time.monotonic() + PATIENCE
        while len(painted) < 12 and time.monotonic() < end:
            time.sleep(0.01)
    finally:
        easel.stop()
    assert painted[0] == 0 and painted[-1] > 0.15 * 240


def test_edits_are_recorded_saved_and_undone(page: Page, running: Running) -> None:
    before = load_preset(str(running.studio.path)) if running.studio.path.exists() else None
    page.send(type="edit", edit={"kind": "set", "section": 0, "path": "noise.strength", "value": 2.5})
    state = page.until("state")["state"]
    label = state["sections"][0]["label"]
    assert state["patches"][label]["noise"]["strength"] == 2.5 and state["undo"] == "noise strength"
    page.until("saved")
    assert load_preset(str(running.studio.path)).section_patches()[0].noise.strength == 2.5
    page.send(type="undo")
    state = page.until("state")["state"]
    assert state["patches"][label]["noise"]["strength"] != 2.5 and state["redo"] == "noise strength"
    page.until("saved")
    if before is not None:
        assert load_preset(str(running.studio.path)).patch == before.patch


def test_an_attempt_shows_one_frame_and_changes_nothing(page: Page, running: Running) -> None:
    steps = running.studio.described()["steps"]
    page.send(type="show", view="main", section=0, at=7, credit=20, still=True, height=144,
              edit={"kind": "turn", "section": 0, "knob": "reaction", "value": 0.1})  # fmt: skip
    clip = page.until("clip")
    page.until_frames(1)
    assert [(number, frame) for number, frame, _ in page.frames] == [(clip["clip"], 7)] and clip["still"]
    assert running.studio.described()["steps"] == steps


def test_proposals_with_locks_and_solo_are_clips(page: Page, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(answers, "WATCHED_SECONDS", 1)
    for view, more in (("tile0", {"edit": {"kind": "redraw", "section": 0, "seed": 5, "keep": ["palette"]}}),
                       ("tile1", {"edit": {"kind": "redraw", "section": 0, "seed": 6, "keep": ["latents.0"]}}),
                       ("main", {"solo": ["latents.0"]})):  # fmt: skip
        page.send(type="show", view=view, section=0, at=0, credit=1, **more)
        clip = page.until("clip", view=view)
        page.until("frame")
        assert page.frames[-1][0] == clip["clip"]
    page.send(type="ask", what="envelopes", section=0)
    envelopes = page.until("envelopes")["envelopes"]
    patch = running.studio.state.arrangement.parts[0].patch
    assert len(envelopes) == len(patch.latents.sequences) + len(patch.noise.sequences)
    assert all(0 <= value <= 255 for entry in envelopes for value in entry["curve"])
    page.send(type="ask", what="best", section=0, seeds=[2])
    order = page.until("best", done=1)["order"]
    assert {entry["seed"] for entry in order} == {2}
    page.send(type="edit", edit={"kind": "preset", "section": 0, "name": "../song"})
    assert "ships with the program" in page.until("error")["message"]
    page.send(type="edit", edit={"kind": "preset", "section": 0, "name": "tides"})
    assert page.until("state")["state"]["undo"] == "preset tides"
    page.send(type="undo")
    page.send(type="ask", what="palette", section=0, seeds=[3])
    assert page.until("swatch")["seed"] == 3
    page.send(type="ask", what="flashes", section=0)
    assert isinstance(page.until("flashes")["flashes"], list)


def test_one_page_at_a_time(running: Running, page: Page) -> None:
    from websockets.exceptions import ConnectionClosed

    with pytest.raises(ConnectionClosed) as refused, connected(running, once="1"):
        pass
    assert refused.value.rcvd.code == server_module.BUSY
    page.send(type="ping")
    page.until("pong")
    with connected(running, take="1") as other:
        other.send(type="ping")
        other.until("pong")
        with pytest.raises(ConnectionClosed) as gone:
            page.quiet()
        assert gone.value.rcvd.code == server_module.TAKEN_OVER


WORDS = ["show", "edit", "credit", "at", "lost", "hide", "undo", "ask", "render", "cancel", "hippo", "main", "tile0",
         "set", "section", "../../etc/passwd", "noise.strength", "\x00", "9" * 400]  # fmt: skip


def nonsense(draw: random.Random, depth: int = 0) -> Any:
    kind = draw.randrange(8)
    if kind < 3 and depth < 3:
        return {
            draw.choice([*WORDS, "type", "view", "kind", "path", "value"]): nonsense(draw, depth + 1) for _ in range(3)
        }
    if kind == 3 and depth < 3:
        return [nonsense(draw, depth + 1) for _ in range(3)]
    return draw.choice([draw.choice(WORDS), -1, 2**70, 1e308, None, True, 0, 3, [], {}])


def malformed(draw: random.Random) -> str:
    """A message that is nearly one, or nothing of the kind."""
    known = {
        "show": {"view": "main", "section": 0},
        "edit": {"edit": {"kind": "set", "section": 0, "path": "x", "value": 1}},
        "credit": {"view": "main", "clip": 1, "count": 1}, "at": {"frame": 3},
        "lost": {"view": "main", "clip": 1, "frames": [1]},
        "ask": {"what": "envelopes"}, "cancel": {"job": 1}, "render": {"deliveries": [{"name": "../x", "size": "0x0"}]},
    }  # fmt: skip
    kind = draw.choice(list(known))
    message = {"type": kind, **known[kind]}
    message[draw.choice([*message, "extra"])] = nonsense(draw)
    text = json.dumps(message)
    return text if draw.random() < 0.8 else text[: draw.randrange(len(text))]


def test_malformed_messages_are_answered_and_nothing_breaks(running: Running, page: Page) -> None:
    draw = random.Random(7)
    for _ in range(20):
        for _ in range(20):
            page.socket.send(malformed(draw))
        page.socket.send(draw.randbytes(8))  # bytes, which no page sends
        page.send(type="ping")
        page.until("pong")
    page.send(type="edit", edit={"kind": "set", "section": 0, "path": "noise.strength", "value": 1.25})
    page.until("state")
    page.send(type="undo")
    page.until("state")
    assert not list(running.song.parent.glob("*.mp4"))


def test_messages_that_are_too_long_end_the_connection_alone(running: Running) -> None:
    from websockets.exceptions import ConnectionClosed

    with connected(running) as page, pytest.raises(ConnectionClosed):
        page.socket.send("x" * (server_module.LONGEST_MESSAGE + 1000))
        page.quiet()
    with connected(running) as page:
        page.send(type="ping")
        page.until("pong")


def test_uploads_are_bounded_and_read_as_what_they_are(
    running: Running, page: Page, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = running.studio.project.folder

    def post(path: str, name: str, body: bytes, **headers: str) -> tuple[int, dict[str, Any]]:
        status, _, told = ask(running, f"{path}?token=secret&name={name}", "POST", headers, body)
        return status, json.loads(told)

    status, told = post("/open", "x.toml", b"", **{"Content-Length": str(1 << 30)})
    assert status == 400 and "more than 512 MB" in told["error"]
    monkeypatch.setattr(server_module, "MOST_UPLOAD", 1000)
    assert post("/open", "x.toml", b"#" * 2000)[0] == 400
    monkeypatch.undo()
    for name, body in (
        ("x.toml", b"not = [toml"),
        ("x.mp4", b"no video"),
        ("..%2f..%2fx.toml", b"schema = 3"),
        ("", b"x"),
    ):
        assert post("/open", name, body)[0] == 400
    assert not list(folder.glob("upload-*")) and not (folder.parent / "x.toml").exists()
    given = preset_text(preset_of(with_value(random_patch(9), "noise.strength", 3.5)))
    assert post("/open", "nice%20one.toml", given.encode())[0] == 200
    state = page.until("state")["state"]
    assert state["undo"] == "open nice_one.toml" and next(iter(state["patches"].values()))["noise"]["strength"] == 3.5
    page.send(type="undo")
    page.until("state")
    stem = tmp_path / "kick.wav"
    soundfile.write(stem, np.random.default_rng(0).normal(size=24_576) * 0.1, 24_576)
    assert post("/stem", "bass.wav", stem.read_bytes())[0] == 200
    song = page.until("song")["song"]
    assert song["stems"] == ["bass_2"] and "bass_2.onsets" in song["features"], "bass is a source of the program's"
    assert post("/stem", "x.wav", b"no sound")[0] == 400
    assert list(kept_stems(folder)) == ["bass_2"], "it is there when the project is opened again"
    (folder / "stems.json").write_text(json.dumps({"a": "../song.wav", "b": "/etc/passwd", "bass_2": 3, "c": "none"}))
    assert kept_stems(folder) == {}


def test_a_page_is_told_what_happens_though_the_one_before_ended_later(
    running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    connects, save = threading.Event(), running.studio.save
    monkeypatch.setattr(running.studio, "save", lambda: (connects.wait(PATIENCE), save()))
    with connected(running):
        pass
    with connected(running) as page:
        connects.set()
        given = preset_text(preset_of(random_patch(5))).encode()
        assert ask(running, "/open?token=secret&name=x.toml", "POST", body=given)[0] == 200
        assert page.until("state", 60)["state"]["undo"] == "open x.toml"
        page.send(type="undo")
        page.until("state")


def test_a_video_of_the_queue_is_the_one_of_the_command_line(running: Running, page: Page, tmp_path: Path) -> None:
    from audioreactive import render

    page.send(type="render", deliveries=[{"name": "made here", "size": "64x36", "duration": 2.0}])
    jobs: list[dict[str, Any]] = []
    while not jobs or jobs[0]["state"] not in ("done", "failed"):
        jobs = page.until("renders")["jobs"]
    assert jobs[0]["state"] == "done", jobs
    made = running.song.parent / "made here.mp4"
    status, headers, body = ask(running, f"/video/{jobs[0]['number']}?token=secret", headers={"Range": "bytes=0-99"})
    assert status == 206 and body == made.read_bytes()[:100] and headers["content-type"] == "video/mp4"
    running.studio.save()
    render(running.song, tmp_path / "made here.mp4", preset=running.studio.path, size="64x36", duration=2, fps=24)
    assert (tmp_path / "made here.mp4").read_bytes() == made.read_bytes()
    for bad in ({"name": "../x"}, {"name": ".x"}, {"name": "x", "size": "0x0"}):
        page.send(type="render", deliveries=[bad])
        page.until("error")


def test_a_cancelled_video_goes_on_where_it_stopped(
    running: Running, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    begins: list[int] = []
    reached = threading.Event()
    track = renders.ToldProgress.track

    @contextlib.contextmanager
    def held(self: renders.ToldProgress, stage: str, total: int, unit: str) -> Iterator[Advance]:
        """Wait in the third chunk until the page has cancelled; note how many frames were there at the start."""
        with track(self, stage, total, unit) as advance:
            counts: list[int] = []

            def held_back(more: int) -> None:
                if stage == "rendering":
                    begins.extend([more] if not counts else [])
                    counts.append(more)
                    if sum(counts) >= 250 and len(begins) == 1:
                        reached.set()
                        self.job.cancelled.wait(PATIENCE)
                advance(more)

            yield held_back

    monkeypatch.setattr(renders.ToldProgress, "track", held)
    page.send(type="render", deliveries=[{"name": "long", "size": "64x36"}])
    job = page.until("renders")["jobs"][-1]
    assert reached.wait(PATIENCE)
    page.send(type="cancel", job=job["number"])
    while job["state"] != "cancelled":
        job = page.until("renders")["jobs"][-1]
    assert not (running.song.parent / "long.mp4").exists()
    page.send(type="resume", job=job["number"])
    while job["state"] != "done":
        job = page.until("renders")["jobs"][-1]
    assert begins[0] == 0 and begins[1] >= 120, "chunks of five seconds are kept"
    assert (running.song.parent / "long.mp4").stat().st_size > 1000
