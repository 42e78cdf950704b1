"""Projects: documents, their journal, and what is left after a crash at any moment."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import textwrap
import time
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
from filelock import FileLock
from hypothesis import given
from hypothesis import strategies as st

from audioreactive.errors import AudioReactiveError, PresetError
from audioreactive.patches.overrides import with_value
from audioreactive.patches.preset import preset_of
from audioreactive.patches.presets import load_preset, preset_text
from audioreactive.patches.randomizer import random_patch
from audioreactive.studio.deltas import changed, difference
from audioreactive.studio.document import Document, Take, document_of
from audioreactive.studio.journal import Journal, read_history
from audioreactive.studio.project import GENERATIONS, Project
from audioreactive.studio.queue_file import keep_jobs, kept_jobs
from audioreactive.studio.renders import Delivery, Job, Renders

if TYPE_CHECKING:
    from pathlib import Path

PATCH = random_patch(3)
FIRST = Document(preset_of(PATCH))
PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 5) | st.text("ab", max_size=2),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text("abc", max_size=1), inner, max_size=4),
    max_leaves=12,
)


def louder(document: Document, strength: float) -> Document:
    return replace(document, preset=preset_of(with_value(document.preset.patch, "noise.strength", strength)))


def strength(document: Document) -> float:
    return document.preset.patch.noise.strength


@given(PLAIN, PLAIN)
def test_a_difference_leads_from_one_to_the_other(old: Any, new: Any) -> None:
    delta = difference(old, new)
    assert changed(old, json.loads(json.dumps(delta))) == new
    assert json.dumps(changed(old, delta), sort_keys=True) == json.dumps(new, sort_keys=True)  # also where 1 == True
    assert (delta is None) == (json.dumps(old, sort_keys=True) == json.dumps(new, sort_keys=True))


@given(PLAIN, PLAIN)
def test_a_difference_that_does_not_fit_is_a_sentence(old: Any, delta: Any) -> None:
    try:
        changed(old, delta)
    except PresetError as error:
        assert "journal" in str(error)


def test_documents_are_read_as_they_were_written() -> None:
    take = Take(name="calm", section="A", patch=PATCH)
    document = Document(FIRST.preset, (take,), (1, 2**32 - 1))
    assert document_of(json.loads(json.dumps(document.data()))) == document
    for bad in ({}, {"preset": 3}, {**document.data(), "takes": 5}, {**document.data(), "favourites": [-1]}):
        with pytest.raises(PresetError):
            document_of(bad)


def test_undo_and_redo_go_all_the_way_and_over_a_restart(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    values = [0.1 * i for i in range(1, 41)]
    with Journal(path, lambda: FIRST) as journal:
        for value in values:
            assert journal.record(f"to {value}", louder(journal.document, value))
        assert not journal.record("nothing", journal.document)
        for _ in range(15):
            assert journal.undo()
    with Journal(path, lambda: pytest.fail("the journal was there")) as journal:
        assert strength(journal.document) == values[24]
        assert journal.history.undoable == f"to {values[24]}" and journal.history.redoable == f"to {values[25]}"
        while journal.redo():
            pass
        assert strength(journal.document) == values[-1]
        while journal.undo():
            pass
        assert journal.document == FIRST
        journal.redo()
        journal.record("another way", louder(journal.document, 5.0))
        assert journal.history.redoable is None and len(journal.history.edits) == 2
    assert path.stat().st_size < 40_000, "an edit is kept as its difference"


def test_a_journal_cut_anywhere_gives_a_state_that_was(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, lambda: FIRST) as journal:
        for value in (2.0, 3.0, 4.0):
            journal.record("louder", louder(journal.document, value))
        journal.undo()
    whole = path.read_bytes()
    first = whole.index(b"\n") + 1
    seen = set()
    for length in [*range(first, len(whole), 7), len(whole)]:
        path.write_bytes(whole[:length])
        with Journal(path, lambda: pytest.fail("the first line was whole")) as journal:
            seen.add(strength(journal.document))
            assert journal.record("on", louder(journal.document, 9.0))
        history = read_history(path)
        assert history is not None and history[0].data["preset"]["noise"]["strength"] == 9.0
    assert seen == {1.0, 2.0, 3.0, 4.0}
    path.write_bytes(whole[:50])
    with Journal(path, lambda: FIRST) as journal:
        assert journal.document == FIRST and not journal.recovered
    assert (tmp_path / "journal.old.jsonl").read_bytes() == whole[:50], "what could not be read is kept"


def test_damage_in_the_middle_of_a_journal_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "journal.jsonl"
    with Journal(path, lambda: FIRST) as journal:
        journal.record("louder", louder(journal.document, 2.0))
        journal.record("louder", louder(journal.document, 3.0))
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(lines[0] + lines[1].replace(b"2.0", b"7.0") + lines[2])
    with Journal(path, lambda: FIRST) as journal:
        assert journal.document == FIRST


def test_the_preset_file_is_the_project_and_its_generations_are_kept(tmp_path: Path) -> None:
    path = tmp_path / "song.studio.toml"
    with Project(path, lambda: FIRST.preset) as project:
        for value in range(2, 10):
            project.journal.record("louder", louder(project.document, float(value)))
            assert project.save() and not project.save()
    assert load_preset(str(path)).patch.noise.strength == 9
    kept = [load_preset(str(project.folder / f"generation-{i}.toml")).patch.noise.strength for i in range(1, 6)]
    assert kept == [8, 7, 6, 5, 4] and len(kept) == GENERATIONS
    assert not list(tmp_path.glob(".*partial*"))


def test_a_file_that_a_person_changed_is_an_edit_and_one_of_ours_is_not(tmp_path: Path) -> None:
    path = tmp_path / "song.studio.toml"
    with Project(path, lambda: FIRST.preset) as project:
        project.journal.record("louder", louder(project.document, 2.0))
        project.save()
        project.journal.record("louder", louder(project.document, 3.0))
        project.journal.close()  # as if killed before it was saved
        project._let_go()
        project.close = lambda: None
    with Project(path, lambda: FIRST.preset) as project:
        assert strength(project.document) == 3.0, "the file is an older one of ours"
    path.write_text(path.read_text().replace("strength = 3.0", "strength = 0.25"))
    with Project(path, lambda: FIRST.preset) as project:
        assert strength(project.document) == 0.25
        project.journal.undo()
        assert strength(project.document) == 3.0


def test_a_project_is_open_once(tmp_path: Path) -> None:
    path = tmp_path / "song.studio.toml"
    with Project(path, lambda: FIRST.preset), pytest.raises(AudioReactiveError, match="another studio has"):
        Project(path, lambda: FIRST.preset)
    Project(path, lambda: FIRST.preset).close()


@pytest.mark.parametrize("kind", ["link", "hard link", "pipe", "folder"])
def test_a_lock_that_leads_elsewhere_is_taken_away(tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It came with an archive; filelock before 3.21 empties the file that it opens."""
    path, letter = tmp_path / "song.studio.toml", tmp_path / "letter"
    letter.write_text("dear")
    lock = tmp_path / ".song.studio" / "lock"
    lock.parent.mkdir(mode=0o700)
    made = {
        "link": lambda: lock.symlink_to(letter), "hard link": lambda: os.link(letter, lock),
        "pipe": lambda: os.mkfifo(lock), "folder": lambda: lock.mkdir(),
    }  # fmt: skip
    made[kind]()
    locks: list[tuple[int, int]] = []
    acquire = FileLock.acquire

    def emptied(self: FileLock, *given: Any, **choice: Any) -> Any:
        if lock.exists():
            os.truncate(lock, 0)
        taken = acquire(self, *given, **choice)
        locks.append((lock.lstat().st_nlink, lock.lstat().st_size))
        return taken

    monkeypatch.setattr(FileLock, "acquire", emptied)
    with Project(path, lambda: FIRST.preset):
        assert lock.is_file() and not lock.is_symlink()
    assert letter.read_text() == "dear" and locks == [(1, 0)]


@pytest.mark.parametrize("kind", ["link", "hard link"])
def test_a_journal_with_another_name_is_not_written_there(tmp_path: Path, kind: str) -> None:
    ours, other = tmp_path / "journal.jsonl", tmp_path / "other.jsonl"
    with Journal(other, lambda: FIRST) as journal:
        journal.record("a", louder(journal.document, 2.0))
    with other.open("ab") as file:
        file.write(b"half a li")
    before = other.read_bytes()
    ours.symlink_to(other.name) if kind == "link" else os.link(other, ours)
    with Journal(ours, lambda: FIRST) as journal:
        assert journal.recovered == (kind == "hard link")
        journal.record("b", louder(journal.document, 3.0))
        assert strength(journal.document) == 3.0
    assert other.read_bytes() == before
    with Journal(ours, lambda: FIRST) as journal:
        assert strength(journal.document) == 3.0 and not ours.is_symlink()


def test_a_folder_deleted_meanwhile_is_made_again_with_every_edit(tmp_path: Path) -> None:
    path = tmp_path / "song.studio.toml"
    with Project(path, lambda: FIRST.preset) as project:
        for value in (2.0, 3.0, 4.0):
            project.journal.record(f"{value}", louder(project.document, value))
        project.save()
        project.journal.undo()
        shutil.rmtree(project.folder)
        project.journal.undo()
        assert project.save()
        with pytest.raises(AudioReactiveError, match="another studio"):
            Project(path, lambda: FIRST.preset)
    assert load_preset(str(path)).patch.noise.strength == 2.0
    with Project(path, lambda: FIRST.preset) as project:
        assert strength(project.document) == 2.0
        assert (project.journal.history.undoable, project.journal.history.redoable) == ("2.0", "3.0")
        assert project.journal.redo() and project.journal.redo() and not project.journal.redo()
        assert strength(project.document) == 4.0
        assert project.journal.undo() and project.journal.undo() and project.journal.undo()
        assert project.document == FIRST and not project.journal.undo()


def test_a_strange_file_in_the_place_of_the_project_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "song.studio.toml"
    path.write_text("not = [toml")
    with pytest.raises(PresetError, match="not TOML"):
        Project(path, lambda: FIRST.preset)
    assert path.read_text() == "not = [toml"
    link = tmp_path / "other.studio.toml"
    (tmp_path / ".other.studio").symlink_to(tmp_path)
    with pytest.raises(AudioReactiveError, match="cannot be used"):
        Project(link, lambda: FIRST.preset)


EDITOR = textwrap.dedent(
    """
    import sys
    from pathlib import Path
    from dataclasses import replace
    from audioreactive.patches.overrides import with_value
    from audioreactive.patches.preset import preset_of
    from audioreactive.patches.randomizer import random_patch
    from audioreactive.studio.project import Project

    project = Project(Path(sys.argv[1]), lambda: preset_of(random_patch(3)))
    value = 10 * project.document.preset.patch.noise.strength
    print("ready", flush=True)
    while True:
        value = (value + 1) % 100
        preset = preset_of(with_value(project.document.preset.patch, "noise.strength", value / 10))
        project.journal.record("louder", replace(project.document, preset=preset))
        print(value / 10, flush=True)
        project.save()
    """
)


def test_kill_at_any_moment_loses_at_most_the_last_edit(tmp_path: Path) -> None:
    path = tmp_path / "song.studio.toml"
    for turn in range(3):
        editor = subprocess.Popen([sys.executable, "-c", EDITOR, path], stdout=subprocess.PIPE, text=True)
        assert editor.stdout is not None and editor.stdout.readline() == "ready\n"
        time.sleep(0.03 + 0.037 * turn)
        os.kill(editor.pid, signal.SIGKILL)
        told = [float(line) for line in editor.communicate()[0].split("\n")[:-1]]
        with Project(path, lambda: FIRST.preset) as project:
            found = strength(project.document)
            if told:
                assert round(10 * found) in (round(10 * told[-1]), round(10 * told[-1] + 1) % 100)
            if path.exists():
                assert preset_text(load_preset(str(path))), "whole, whichever it is"


def job(folder: Path, name: str, state: str) -> Job:
    delivery = Delivery(name=name, size="64x36")
    return Job(9, delivery, delivery.output([folder]), preset_of(PATCH), state=state)


def test_the_queue_is_there_after_a_restart(tmp_path: Path) -> None:
    file = tmp_path / "queue.json"
    states = {"made": "done", "gone": "done", "half": "rendering", "next": "waiting", "broken": "failed"}
    keep_jobs(file, [job(tmp_path, name, state) for name, state in states.items()])
    (tmp_path / "made.mp4").write_bytes(b"video")
    found = kept_jobs(file, [tmp_path])
    assert [(one.number, one.output.name, one.state) for one in found] == [
        (1, "made.mp4", "done"), (2, "half.mp4", "cancelled"), (3, "next.mp4", "cancelled"), (4, "broken.mp4", "failed")
    ]  # fmt: skip
    assert found[0].preset == preset_of(PATCH) and "goes on where it stopped" in found[1].message

    written: list[list[str]] = []
    renders = Renders(
        [tmp_path], lambda: None, jobs=found, keep=lambda jobs: written.append([one.state for one in jobs])
    )
    renders.cancel(1)
    renders.stop()
    assert written and renders.video(1) == tmp_path / "made.mp4"


@pytest.mark.parametrize(
    "text",
    ["", "[", "{}", "[1]", "[" * 100_000, '[{"delivery": {"name": "x"}, "preset": "schema = [", "state": "waiting"}]',
     '[{"delivery": {"name": "../x"}, "preset": "PRESET", "state": "waiting"}]',
     '[{"delivery": {"name": "x", "size": "1080p"}, "preset": "PRESET", "state": "happy"}]'],
)  # fmt: skip
def test_a_queue_that_cannot_be_read_is_empty(tmp_path: Path, text: str) -> None:
    preset = json.dumps(preset_text(preset_of(PATCH)))
    (tmp_path / "queue.json").write_text(text.replace('"PRESET"', preset), "utf-8")
    assert kept_jobs(tmp_path / "queue.json", [tmp_path]) == []
    assert kept_jobs(tmp_path / "none.json", [tmp_path]) == []
