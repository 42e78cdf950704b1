"""Entry points of the analysis. The signal processing is imported only if a result is not in the cache."""

from __future__ import annotations

from fractions import Fraction
from functools import partial
from typing import TYPE_CHECKING

from audioreactive._support.files import as_path
from audioreactive._support.memory import give_back
from audioreactive.errors import FeatureError
from audioreactive.features import cache
from audioreactive.features.analysis import check_segmentations, check_stems, on_frames, song_key, stem_key
from audioreactive.features.names import SEGMENTABLE, USUAL_FEATURES, split_name
from audioreactive.features.tempo import tempo_limits
from audioreactive.media.audio import check_file

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from pathlib import Path

    from audioreactive.features.analysis import Analysis
    from audioreactive.features.names import BeatTracker
    from audioreactive.features.tempo import TempoLimits
    from audioreactive.features.types import Features
    from audioreactive.media.audio import Audio

SONG = ""
"""Key of the full mix among the analysed sounds; all other keys are stems."""
LENGTH_TOLERANCE = 0.1
"""Largest difference in seconds between the lengths of a stem and the song that causes no warning."""


def analyze(
    audio: Audio,
    *,
    fps: Fraction | int,
    names: Collection[str] = USUAL_FEATURES,
    stems: Mapping[str, Audio] | None = None,
    segmentations: Collection[str] = SEGMENTABLE,
    beat_tracker: BeatTracker = "librosa",
    tempo: float | None = None,
    tempo_range: tuple[float, float] | None = None,
    progress: Callable[[str, float], None] | None = None,
) -> Features:
    """Compute features, beats and sections of a sound, at video frames.

    Args:
        audio: the song, at audio.ANALYSIS_RATE.
        fps: frames per second; a fraction, so that frames are still on time after an hour.
        names: `feature` or `source.feature`; a source is one of SOURCES, or the name of a stem.
        stems: the user's own separated tracks, which start together with the song; they are not separated further.
        segmentations: features of the full mix whose repetitions divide the song into sections.
        beat_tracker: "librosa" (Ellis' algorithm) or "madmom" (neural networks).
        tempo: known tempo in beats per minute; the positions of the beats are still estimated.
        tempo_range: (low, high) limits of the estimated tempo, in beats per minute.
        progress: called with the stage and the share of all work that is done, in [0, 1].

    Raises:
        FeatureError: a name is not known, its stem is not given, madmom is not installed, or the tempo is out of range.
        AudioError: the sound is empty or at another sample rate.
    """
    from audioreactive.features.listening import listen

    sounds = {SONG: audio, **(stems or {})}
    rate = _frame_rate(fps)
    limits = tempo_limits(tempo, tempo_range)
    keys = _keys(names, stems or {}, segmentations)
    heard = {}
    for i, (sound, wanted) in enumerate(keys.items()):
        heard[sound] = listen(
            sounds[sound],
            keys=wanted,
            segmentations=() if sound else segmentations,
            beat_tracker="librosa" if sound else beat_tracker,
            limits=limits,
            report=_share(progress, i, len(keys)),
        )
    return _assembled(heard, rate, names, segmentations)


def analyze_file(
    path: Path | str,
    *,
    fps: Fraction | int,
    names: Collection[str] = USUAL_FEATURES,
    stems: Mapping[str, Path | str] | None = None,
    track: int | None = None,
    segmentations: Collection[str] = SEGMENTABLE,
    beat_tracker: BeatTracker = "librosa",
    tempo: float | None = None,
    tempo_range: tuple[float, float] | None = None,
    cache_dir: Path | None = None,
    use_cache: bool = True,
    progress: Callable[[str, float], None] | None = None,
    warn: Callable[[str], None] | None = None,
) -> Features:
    """Analyse files as `analyze` does, and cache the results by the files' content and the settings.

    `track` is the number of the audio track in the song's file, see `audio.load`. If `cache_dir` is None, the user's
    cache folder is used. `warn` is called with sentences about the files, such as that one is damaged.

    Raises:
        AudioError: a file cannot be used.
        FeatureError: as `analyze`.
    """
    files = {sound: as_path(file) for sound, file in {SONG: path, **(stems or {})}.items()}
    rate = _frame_rate(fps)
    limits = tempo_limits(tempo, tempo_range)
    keys = _keys(names, stems or {}, segmentations)
    for file in files.values():
        check_file(file)
    folder = (cache_dir or cache.default_cache_dir()) if use_cache else None
    heard = {}
    for i, (sound, wanted) in enumerate(keys.items()):
        heard[sound] = _analyze_one(
            files[sound],
            wanted,
            () if sound else segmentations,
            track=None if sound else track,
            beat_tracker="librosa" if sound else beat_tracker,
            limits=limits,
            folder=folder,
            report=_share(progress, i, len(keys)),
        )
    if warn is not None:
        for note in _notes(heard):
            warn(note)
    return _assembled(heard, rate, names, segmentations)


def _analyze_one(
    path: Path,
    keys: Collection[str],
    segmentations: Collection[str],
    *,
    track: int | None,
    beat_tracker: BeatTracker,
    limits: TempoLimits,
    folder: Path | None,
    report: Callable[[str, float], None],
) -> Analysis:
    """Load the cached part of an analysis, and compute the rest."""
    entry = cache.entry_path(folder, path, beat_tracker, limits, track) if folder else None
    known = cache.read(entry) if entry else None
    missing = [key for key in keys if known is None or key not in known.envelopes]
    unsegmented = [name for name in segmentations if known is None or name not in known.labels]
    if known is not None and not missing and not unsegmented:
        report("remembering", 1.0)
        return known
    from audioreactive.features.listening import listen
    from audioreactive.media.audio import load

    report("decoding", 0.0)
    hear = partial(listen, beat_tracker=beat_tracker, limits=limits, report=report)
    heard = hear(load(path, track=track), keys=missing, segmentations=unsegmented)
    if known is not None and known.fits(heard):
        heard = known.merged(heard)
    elif known is not None:  # Another machine or library version wrote the entry, with other beats.
        heard = hear(load(path, track=track), keys=keys, segmentations=segmentations)
    if entry:
        cache.write(entry, heard)
    give_back()  # the analysis takes several times the memory of its result
    return heard


def _frame_rate(fps: Fraction | int) -> Fraction:
    """Check a frame rate, and limit its denominator so that hours of frames can be counted in 64-bit integers."""
    if not 0 < fps <= 1000 or Fraction(fps).denominator > 1_000_000:
        raise FeatureError(
            f"{fps} frames a second were asked for; give a fraction up to 1000, such as 24 or 30000/1001"
        )
    return Fraction(fps)


def _keys(names: Collection[str], stems: Collection[str], segmentations: Collection[str]) -> dict[str, list[str]]:
    """Map each sound (SONG first, then the stems that are used) to the keys of its wanted envelopes."""
    check_stems(stems)
    check_segmentations(segmentations)
    keys: dict[str, dict[str, None]] = {SONG: {}}
    for name in names:
        source = split_name(name)[0]
        sound, key = (source, stem_key(name)) if source in stems else (SONG, song_key(name))
        keys.setdefault(sound, {})[key] = None
    return {sound: list(wanted) for sound, wanted in keys.items()}


def _assembled(
    heard: Mapping[str, Analysis], fps: Fraction, names: Collection[str], segmentations: Collection[str]
) -> Features:
    stems = {sound: analysis for sound, analysis in heard.items() if sound}
    return on_frames(
        heard[SONG], fps=fps, names=tuple(dict.fromkeys(names)), stems=stems, segmentations=tuple(segmentations)
    )


def _notes(heard: Mapping[str, Analysis]) -> Iterator[str]:
    """Yield sentences for the user about the files, and about stems that are not as long as the song."""
    for sound, analysis in heard.items():
        yield from analysis.notes
        longer = float(analysis.duration - heard[SONG].duration)
        if sound and abs(longer) > LENGTH_TOLERANCE:
            fate = "longer than the song: its end is left out"
            if longer < 0:
                fate = "shorter than the song: it is silent after its end"
            yield f"the stem {sound} is {abs(longer):.1f} s {fate}"


def _share(progress: Callable[[str, float], None] | None, index: int, count: int) -> Callable[[str, float], None]:
    """Return a progress callback for one of `count` sounds that reports the share of all of them."""

    def report(stage: str, share: float) -> None:
        if progress is not None:
            progress(stage, (index + share) / count)

    return report
