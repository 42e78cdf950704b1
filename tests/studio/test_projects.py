"""Songs to choose from, a project that is being opened while the page waits, and motions that are fitted meanwhile."""

from __future__ import annotations

import json
import os
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner
from studio_pages import PATIENCE, FakeBench, Page, Running, connected, write_song

from audioreactive.commands import studio as command_module
from audioreactive.errors import AudioError, AudioReactiveError, RenderError
from audioreactive.learn.losses import ENVELOPES
from audioreactive.progress import Silent
from audioreactive.studio import session as session_module
from audioreactive.studio import studio as studio_module
from audioreactive.studio.edits import edit_of
from audioreactive.studio.projects import Opening, Projects, found_songs
from audioreactive.studio.renders import Delivery

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from audioreactive.progress import Progress


def put(path: Path, seconds: float | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x")
    if seconds is not None:
        os.utime(path, (seconds, seconds))
    return path


def test_projects_come_first_and_nothing_outside_is_found(tmp_path: Path) -> None:
    music = tmp_path / "music"
    for name in ("b.mp3", "a.WAV", "album/c.ogg", ".hidden/d.mp3", ".e.mp3", "notes.txt", "1/2/3/4/5/deep.mp3"):
        put(music / name)
    put(music / "b.studio.toml", 1000)
    put(music / "album" / "c.studio.toml", 2000)
    put(tmp_path / "outside" / "f.mp3")
    (music / "link").symlink_to(tmp_path / "outside")
    found = found_songs([music, tmp_path / "missing"])
    assert [(one.song.name, one.place, one.edited) for one in found] == [
        ("c.ogg", "music/album", 2000), ("b.mp3", "music", 1000), ("a.WAV", "music", None)
    ]  # fmt: skip
    assert [one.song.name for one in found_songs([music / "album", music])] == ["c.ogg", "b.mp3", "a.WAV"]


def test_a_page_chooses_waits_and_leaves(tmp_path: Path, serve_projects: Any) -> None:
    from websockets.sync.client import connect

    put(tmp_path / "one.wav")
    put(tmp_path / "two.wav")
    told, released, opened = threading.Event(), threading.Event(), []

    def make(opening: Opening, progress: Progress) -> Any:
        with progress.track("listening", 100, "%") as advance:
            advance(40)
            told.wait(PATIENCE)
            advance(20)
            if opening.song.name == "one.wav":
                raise AudioError("it is no sound")
            released.wait(PATIENCE)
        opened.append(FakeBench())
        return opened[-1]

    address, origin = serve_projects(Projects(make, [tmp_path]))
    with connect(address, origin=origin) as socket:
        page = Page(socket)
        first = page.until("lobby")
        assert [song["name"] for song in first["songs"]] == ["one.wav", "two.wav"] and first["opening"] is None
        for bad in ({"type": "open", "song": 2}, {"type": "open", "song": "/etc/passwd"}, {"type": "show"}, [], 3):
            socket.send(json.dumps(bad))
            assert "no project is open" in page.until("error")["message"]
        for bad_bytes in (b"", b"\x00\xff"):  # which no page sends
            socket.send(bad_bytes)
            assert "no project is open" in page.until("error")["message"]
        page.send(type="open", song=0)
        while not (waiting := page.until("lobby"))["opening"] or waiting["opening"]["share"] != 0.4:
            pass
        assert waiting["opening"] == {"song": "one.wav", "stage": "listening", "share": 0.4} and not waiting["songs"]
        told.set()
        while (failed := page.until("lobby"))["opening"]:
            pass
        assert failed["failed"] == "it is no sound" and len(failed["songs"]) == 2
        page.send(type="open", song=1)
        released.set()
        page.until("song")
        page.send(type="leave")
        assert page.until("lobby")["opening"] is None and opened[0].closed


def test_a_song_that_cannot_be_opened_ends_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def maker(*_: Any) -> Callable[[Opening, Progress], Any]:
        def make(opening: Opening, progress: Progress) -> Any:
            raise AudioError(f"{opening.song.name} is no sound")

        return make

    monkeypatch.setattr(command_module, "_maker", maker)
    song = put(tmp_path / "song.wav")
    result = CliRunner().invoke(command_module.command, [str(song), "--no-browser", "-q"])
    assert isinstance(result.exception, AudioReactiveError) and "song.wav is no sound" in str(result.exception)
    assert result.output.startswith("http://127.0.0.1:")
    refused = CliRunner().invoke(command_module.command, ["--folder", str(song), "--no-browser"])
    assert "is not a folder" in str(refused.exception)


def test_opening_ends_when_the_studio_does(tmp_path: Path) -> None:
    begun = threading.Event()

    def make(opening: Opening, progress: Progress) -> Any:
        with progress.track("listening", 10**9, "%") as advance:
            while True:
                advance(1)
                begun.set()

    projects = Projects(make, [tmp_path], Silent())
    projects.open(Opening(tmp_path / "x.wav"), needed=True)
    assert begun.wait(PATIENCE)
    projects.close()
    assert projects.bench is None and not projects.opening and projects.needed_failed is None


def test_videos_are_saved_in_folders_that_were_named(running: Running, page: Page, tmp_path: Path) -> None:
    assert Delivery(name="x").output([tmp_path, tmp_path / "a"]) == tmp_path / "x.mp4"
    assert Delivery(name="x", folder=str(tmp_path / "a")).output([tmp_path, tmp_path / "a"]) == tmp_path / "a" / "x.mp4"
    for folder in ("/etc", str(tmp_path / "a" / ".."), "", "."):
        with pytest.raises(RenderError, match="--folder"):
            Delivery(name="x", folder=folder).output([tmp_path, tmp_path / "a"])
    page.send(type="render", deliveries=[{"name": "x", "folder": "/etc"}])
    assert "cannot be saved" in page.until("error")["message"]
    page.send(type="render", deliveries=[{"name": "x", "fps": "1e9"}])
    assert "frame rate" in page.until("error")["message"]


def test_hippo_is_fitted_to_what_is_seen_and_again_after_an_edit(
    running: Running, page: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    fits: list[str] = []

    def fitted(patch: Any, features: Any, generator: Any, progress: Any) -> dict[str, np.ndarray]:
        (hippo,) = patch.synthesizers
        assert hippo.aim == "seen" and generator is running.studio.loaded.generator
        with progress.track("fitting", 4, "step") as advance:
            advance(2)
            advance(2)
        fits.append(patch.model_dump_json())
        level = np.float32(0.1 * len(fits))
        return {hippo.name: np.full((features.frames, ENVELOPES), level, np.float32)}

    monkeypatch.setattr(studio_module, "synthesize", fitted)
    monkeypatch.setattr(session_module, "REFIT", 0.05)
    page.send(type="hippo", section=0, seed=4)
    page.until("fitting", done=4, of=4)
    page.until("fitted")
    studio = running.studio
    patch = studio.state.arrangement.parts[0].patch
    label = studio.state.arrangement.parts[0].label
    assert [one.motion_seed for one in patch.synthesizers] == [4] and fits == [patch.model_dump_json()]
    page.send(type="show", view="main", section=0, at=0, credit=1)
    before = page.until("clip", view="main")["key"]
    # while a slider moves, the motion is the one that was fitted before
    louder = {"kind": "set", "section": 0, "path": "noise.strength", "value": 2.5}
    made = studio.at_once(patch, studio.features)["hippo"]
    tried = studio.patch_after(edit_of(louder))
    assert np.array_equal(studio.at_once(tried, studio.features)["hippo"], made) and len(fits) == 1
    page.send(type="edit", edit=louder)
    assert page.until("state")["state"]["unfitted"] == [label]
    page.until("fitted")
    assert len(fits) == 2 and studio.unfitted() == []
    assert studio.at_once(tried, studio.features)["hippo"][0, 0] == pytest.approx(0.2)
    page.send(type="show", view="main", section=0, at=0, credit=1)
    assert page.until("clip", view="main")["key"] != before
    # without its sub-sequence, nothing is fitted
    index = len(patch.latents.sequences) - 1
    page.send(type="edit", edit={"kind": "sequence", "section": 0, "half": "latents", "remove": index})
    page.until("state", 60)
    assert studio.state.arrangement.parts[0].patch.synthesizers == () and len(fits) == 2
    for _ in range(3):
        page.send(type="undo")
        page.until("state")


def test_a_fit_stops_when_the_page_says_so(running: Running, page: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    def endless(patch: Any, features: Any, generator: Any, progress: Any) -> Any:
        with progress.track("fitting", 10**9, "step") as advance:
            while True:
                advance(1)

    monkeypatch.setattr(studio_module, "synthesize", endless)
    steps = running.studio.described()["steps"]
    page.send(type="hippo", section=0, seed=5)
    page.until("fitting")
    page.send(type="unfit")
    page.until("fitting", done=1, of=1)
    page.send(type="ping")
    page.until("pong")
    assert running.studio.described()["steps"] == steps


def test_a_project_that_was_closed_opens_again(run_studio: Callable[..., Running], tmp_path: Path) -> None:
    first = run_studio(write_song(tmp_path / "song.wav", 4))
    with connected(first) as page:
        page.send(type="edit", edit={"kind": "set", "section": 0, "path": "noise.strength", "value": 2.5})
        page.until("state")
    first.stop()
    assert first.projects.bench is None
    again = run_studio(first.song)
    assert again.studio.state.arrangement.parts[0].patch.noise.strength == 2.5
    again.stop()
