"""One open project over the library: its document, its sound, and what paints and renders it."""

from __future__ import annotations

import hashlib
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from audioreactive.errors import PresetError
from audioreactive.features.names import EVERY_FEATURE, SOURCES
from audioreactive.learn.losses import ENVELOPES
from audioreactive.learn.named import HIPPO, named_synthesizer
from audioreactive.learn.synthesize import synthesize
from audioreactive.patches.knobs import reaction, tempo_of_loops
from audioreactive.patches.presets import load_preset, shipped_presets
from audioreactive.patches.randomizer import with_synthesizer
from audioreactive.patches.schema import Hippo, Patch
from audioreactive.pipeline.choose import chosen_seed
from audioreactive.pipeline.listening import DEFAULT_FPS, parse_frame_rate
from audioreactive.pipeline.recipe import Recipe
from audioreactive.progress import Progress, Silent, as_progress
from audioreactive.studio.clips import ClipMaker, Recent
from audioreactive.studio.document import Document
from audioreactive.studio.edits import AnyEdit, Edited, State, edited, first_arrangement, patched
from audioreactive.studio.envelopes import envelopes_of
from audioreactive.studio.project import Project, keep_stem, kept_stems, project_file, project_folder
from audioreactive.studio.song import Song, hear, listen_again

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from fractions import Fraction
    from pathlib import Path

    from audioreactive.features import Features
    from audioreactive.generators import LoadedGenerator
    from audioreactive.patches.preset import Preset
    from audioreactive.patches.tables import FloatArray
    from audioreactive.progress import Step
    from audioreactive.studio.projects import Opening

USUAL_SIZE: Final = "1920x1080"
MOST_ENVELOPES: Final = 16
"""Most patches of which the envelopes of synthesizers are remembered."""
WINDOW_SECONDS: Final = 60
"""Length of the windows in which the whole song is shown."""


class Studio:
    """An open project. Its methods are called one at a time, from any thread.

    Args:
        opening: the song, and the preset of a new project.
        loaded: makes the pictures.
        progress: receives the progress of listening.

    Raises:
        AudioReactiveError: the song or the project cannot be opened.
    """

    def __init__(self, opening: Opening, loaded: LoadedGenerator, progress: Progress | None = None) -> None:
        progress = self._progress = progress or Silent()
        self.loaded = loaded
        self.path = project_file(opening.song)
        known = _known(self.path) or opening.preset
        fps = opening.fps or (parse_frame_rate(known.render.fps) if known and known.render.fps else DEFAULT_FPS)
        names = known.feature_names() if known else ()
        stems = {**kept_stems(project_folder(self.path)), **(opening.stems or {})}
        self.song: Song = hear(opening.song, fps, names=names, stems=stems, track=opening.track, progress=progress)
        self._lock = threading.RLock()
        self.clips = self._maker()
        self.state: State
        self._envelopes: Recent[str, Mapping[str, FloatArray]] = Recent(MOST_ENVELOPES)
        self._earlier: Recent[str, FloatArray] = Recent(MOST_ENVELOPES)
        self._fits = 0
        self.project = Project(self.path, lambda: self._first(opening.preset))
        try:
            if opening.preset is not None and self.project.journal.recovered:
                document = self.project.document
                self.project.journal.record("opened a preset", replace(document, preset=opening.preset))
            self._take_over()
            self.song.playback  # noqa: B018  # raises if the sound cannot be decoded
        except BaseException:
            self.project.close()
            raise

    @property
    def features(self) -> Features:
        """Features of the song."""
        return self.song.features

    @property
    def fps(self) -> Fraction:
        """Frames a second."""
        return self.song.features.fps

    def edit(self, edit: AnyEdit) -> Edited:
        """Make an edit and record it.

        Raises:
            PresetError: the edit does not fit.
        """
        with self._lock:
            made = edited(self.state, edit, self.features)
            self._need(made.state.document.preset)
            self.project.journal.record(made.label, made.state.document)
            self.state = made.state
            return made

    def record(self, label: str, document: Document) -> None:
        """Record a whole new document.

        Raises:
            FeatureError: it uses a feature that is not there.
        """
        with self._lock:
            self._need(document.preset)
            self.project.journal.record(label, document)
            self.state = State.of(document, self.features)

    def undo(self) -> str | None:
        """Undo the last edit; returns its label."""
        return self._step(back=True)

    def redo(self) -> str | None:
        """Do the last undone edit again; returns its label."""
        return self._step(back=False)

    def save(self) -> bool:
        """Write the preset file; returns whether it had changed."""
        with self._lock:
            return self.project.save()

    def close(self) -> None:
        """Save and close the project."""
        with self._lock:
            self.project.close()
            self.song.playback.close()

    def frames_of(self, section: int) -> range:
        """Return the frames of a section."""
        start, end = self.state.arrangement.span(section)
        rate = float(self.fps)
        first = round(start * rate)
        return range(first, max(min(round(end * rate), self.features.frames), first + 1))

    def window(self, frame: int) -> range:
        """Return the frames of the window of the whole song in which a frame is."""
        length = round(WINDOW_SECONDS * float(self.fps))
        start = min(max(frame, 0), self.features.frames - 1) // length * length
        return range(start, min(start + length, self.features.frames))

    def preset_after(self, edit: AnyEdit | None) -> Preset:
        """Return the preset as it is, or as it would be after an edit that is not recorded."""
        if edit is None:
            return self.state.document.preset
        return edited(self.state, edit, self.features).state.document.preset

    def patch_after(self, edit: AnyEdit) -> Patch:
        """Return the patch of a section as it would be after an edit."""
        return patched(self.state, edit)[1]

    def soloed(self, section: int, solo: frozenset[str]) -> Preset:
        """Return the preset in which a section moves by some of its sub-sequences alone."""
        arrangement = self.state.arrangement
        arrangement.span(section)
        patch = arrangement.parts[section].patch
        halves = {}
        for half in ("latents", "noise"):
            part = getattr(patch, half)
            sequences = tuple(
                s if f"{half}.{i}" in solo else s.model_copy(update={"muted": True})
                for i, s in enumerate(part.sequences)
            )
            halves[half] = part.model_copy(update={"sequences": sequences})
        return arrangement.patched(section, patch.model_copy(update=halves)).preset(self.state.document.preset)

    def synthesize(
        self, patch: Patch, features: Features, progress: Progress | None = None
    ) -> Mapping[str, FloatArray]:
        """Make the envelopes of a patch's synthesizers, or take those that were made before."""
        key = self._key(patch, features)
        known: Mapping[str, FloatArray] | None = self._envelopes.get(key)
        if known is None:
            known = self._envelopes[key] = synthesize(patch, features, self.loaded.generator, progress)
            if _is_seen(patch):
                self._fits += 1
                for synthesizer in patch.synthesizers:
                    self._earlier[synthesizer.model_dump_json()] = known[synthesizer.name]
        return known

    def at_once(self, patch: Patch, features: Features) -> Mapping[str, FloatArray]:
        """Take the envelopes of a patch's synthesizers without fitting one to pictures, which takes long.

        What is not fitted to the patch as it is has its last motion; what was never fitted is at rest.
        """
        known: Mapping[str, FloatArray] | None = self._envelopes.get(self._key(patch, features))
        if known is not None or not _is_seen(patch):
            return known or self.synthesize(patch, features)
        rest = np.full((features.frames, ENVELOPES), 0.5, np.float32)
        found = {}
        for one in patch.synthesizers:
            earlier = self._earlier.get(one.model_dump_json())
            found[one.name] = earlier if earlier is not None and len(earlier) == len(rest) else rest
        return found

    def unfitted(self) -> list[str]:
        """Return the labels of sections whose motion is not fitted to them as they are."""
        features = self.features
        patches = {part.label: part.patch for part in self.state.arrangement.parts}
        return [label for label, p in patches.items() if _is_seen(p) and self._key(p, features) not in self._envelopes]

    def fit(self, label: str, progress: Callable[[Step], bool]) -> bool:
        """Fit the motion of the sections with a label to them as they are; returns whether there are any.

        Raises:
            SynthesizerError: the song is too short or constant.
            Cancelled: the progress callback returned False.
        """
        patch = next((part.patch for part in self.state.arrangement.parts if part.label == label), None)
        if patch is None:
            return False
        self.synthesize(patch, self.features, as_progress(progress))
        with self._lock:
            self.clips = self._maker()  # it remembers motion that was not fitted
        return True

    def _key(self, patch: Patch, features: Features) -> str:
        """Digest of what decides about the envelopes of a patch's synthesizers."""
        told = patch.model_dump_json() if _is_seen(patch) else [s.model_dump_json() for s in patch.synthesizers]
        return hashlib.sha256(f"{features.fps} {features.digest} {sorted(features)} {told}".encode()).hexdigest()

    def heard(self) -> dict[str, Any]:
        """Return what the page needs to know about song and generator."""
        families = list(self.loaded.generator.families)
        return {**self.song.described(), "families": families if len(families) > 1 else [],
                "presets": list(shipped_presets())}  # fmt: skip

    def described(self) -> dict[str, Any]:
        """Return the document as the page needs it."""
        with self._lock:
            arrangement, document = self.state.arrangement, self.state.document
            history = self.project.journal.history
            patches = {part.label: part.patch for part in arrangement.parts}
            return {
                "file": self.path.name,
                "size": document.preset.render.size or USUAL_SIZE,
                "sections": [
                    {
                        "start": part.start,
                        "end": arrangement.span(i)[1],
                        "name": part.name,
                        "label": part.label,
                        "fade": part.crossfade_bars or 0,
                        "frames": [self.frames_of(i).start, self.frames_of(i).stop],
                    }
                    for i, part in enumerate(arrangement.parts)
                ],
                "patches": {label: _described(patch) for label, patch in patches.items()},
                "takes": [{"name": take.name, "section": take.section} for take in document.takes],
                "favourites": list(document.favourites),
                "unfitted": self.unfitted(),
                "undo": history.undoable,
                "redo": history.redoable,
                "steps": history.done,
            }

    def envelopes(self, section: int) -> list[dict[str, Any]]:
        """Return what moves each sub-sequence of a section, as curves to draw over its waveform."""
        frames = self.frames_of(section)
        patch = self.state.arrangement.parts[section].patch
        return envelopes_of(patch, self.features, frames, self.at_once)

    def listen_again(self, stems: Mapping[str, Path]) -> None:
        """Analyse the song again with further stems as sources.

        Raises:
            AudioError: a stem cannot be used.
        """
        together = {**self.song.stems, **stems}
        names = self.state.document.preset.feature_names()
        features = listen_again(self.song.path, self.fps, names=names, stems=together, track=self.song.track)
        with self._lock:
            self.song.stems, self.song.features = together, features
            self._take_over()

    def open_recipe(self, path: Path, name: str) -> None:
        """Take the recipe of a preset file or a video as an edit.

        Raises:
            PresetError: the file has none.
        """
        preset = load_preset(str(path))
        render = preset.render.model_copy(update={"fps": str(self.fps)})
        arrangement = State.of(Document(preset), self.features).arrangement
        made = arrangement.preset(preset.model_copy(update={"render": render}))
        self.record(f"open {name}", replace(self.state.document, preset=made))

    def add_stem(self, path: Path, name: str) -> None:
        """Add a stem as a source of features, called after its file.

        Raises:
            AudioError: it is no sound.
            FeatureError: a source of the program has this name.
        """
        word = stem_name(name, self.song.stems)
        self.listen_again({word: path})
        keep_stem(self.project.folder, word, path)

    def fit_hippo(self, section: int, seed: int, progress: Callable[[Step], bool]) -> None:
        """Fit a motion to the song as this section shows it, and add it to the section's patch as a sub-sequence.

        Raises:
            SynthesizerError: the song is too short or constant.
            Cancelled: the progress callback returned False.
        """
        hippo = named_synthesizer(HIPPO, motion_seed=seed)
        self.state.arrangement.span(section)
        self.synthesize(
            with_synthesizer(self.state.arrangement.parts[section].patch, hippo), self.features, as_progress(progress)
        )
        with self._lock:
            self.state.arrangement.span(section)  # it may have been merged meanwhile
            patch = with_synthesizer(self.state.arrangement.parts[section].patch, hippo)
            arrangement = self.state.arrangement.patched(section, patch)
            document = replace(self.state.document, preset=arrangement.preset(self.state.document.preset))
            self.record("HiPPO fitted", document)

    def _step(self, *, back: bool) -> str | None:
        with self._lock:
            journal = self.project.journal
            label = journal.history.undoable if back else journal.history.redoable
            if journal.undo() if back else journal.redo():
                self._take_over()
                return label
            return None

    def _take_over(self) -> None:
        """Take the document of the journal as the state."""
        self._need(self.project.document.preset)
        self.state = State.of(self.project.document, self.features)
        if self.clips.features is not self.features:
            self.clips = self._maker()

    def _need(self, preset: Preset) -> None:
        """Listen for features that a preset uses and that were not analysed yet.

        Raises:
            PresetError: a feature belongs to a stem that is not there.
        """
        missing = [name for name in preset.feature_names() if name not in self.features]
        if missing:
            self.song.features = listen_again(
                self.song.path,
                self.fps,
                names=tuple({*self.features, *missing}),
                stems=self.song.stems,
                track=self.song.track,
            )
            self.clips = self._maker()

    def _maker(self) -> ClipMaker:
        return ClipMaker(self.features, self.at_once, lambda patch: str(self._fits) if _is_seen(patch) else "")

    def _first(self, given: Preset | None) -> Preset:
        """Make the preset of a new project: the given one, or what `render` would draw, divided into sections."""
        if given is None:
            recipe = Recipe(leads=True)
            with self._progress.track("choosing a first look", 1, "look") as advance:
                seed = chosen_seed(recipe, self.features, self.loaded.generator)
                advance(1)
            given = replace(recipe, seed=seed).make()
        seed = given.made_with.seed if given.made_with and given.made_with.seed else 0
        arrangement = State.of(Document(given), self.features).arrangement
        if not given.sections:
            arrangement = first_arrangement(arrangement, self.features, seed % 2**32)
        size = given.render.size or USUAL_SIZE
        if self.loaded.generator.families == () and given.render.size is None:
            height, width = self.loaded.generator.img_size
            size = f"{width}x{height}"
        render = given.render.model_copy(update={"fps": str(self.fps), "size": size})
        made = arrangement.preset(given.model_copy(update={"render": render}))
        return made


def _is_seen(patch: Patch) -> bool:
    """Whether a synthesizer of the patch is fitted to its pictures."""
    return any(isinstance(one, Hippo) and one.aim == "seen" for one in patch.synthesizers)


def stem_name(file: str, taken: Collection[str]) -> str:
    """Make the name of a stem from its file's: a word that is no source or feature, and not taken."""
    word = "".join(c if c.isalnum() else "_" for c in file.rpartition(".")[0].lower()).strip("_")[-24:] or "stem"
    word = word if word[0].isalpha() else f"stem_{word}"
    names = (word, *(f"{word}_{i}" for i in range(2, 100)))
    return next(n for n in names if n not in SOURCES and n not in EVERY_FEATURE and n not in taken)


def _known(path: Path) -> Preset | None:
    """Read the project's preset, for its frame rate; errors are told when the project is opened."""
    try:
        return load_preset(str(path)) if path.exists() else None
    except PresetError:
        return None


def _described(patch: Patch) -> dict[str, Any]:
    data = patch.model_dump(mode="json", exclude_none=True)
    data["reaction"] = reaction(patch)
    data["speed"] = tempo_of_loops(patch)
    for synthesizer in data.get("synthesizers", ()):
        synthesizer.pop("model", None)
    return data
