"""A video of this program as its recipe, a reference to its model, and its song: it is rendered again to be played.

The same recipe, model and song give the same frames, where the same kernels run; a few frames' digests say whether they
do, and small pictures of these frames by how much they do not.

Sections: `recipe`, the preset's TOML by xz; `song`, a sound file; `thumbs`, the small pictures; perhaps `model`.
"""

from __future__ import annotations

import hashlib
import lzma
import math
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from audioreactive._support.files import read_regular
from audioreactive.codec.clip import read_sound
from audioreactive.codec.container import LARGEST_FILE, whole, write_archive
from audioreactive.codec.metrics import psnr
from audioreactive.codec.packing import SUFFIXES, read_suffix
from audioreactive.codec.quantise import MEMORY
from audioreactive.codec.sound import opus
from audioreactive.errors import AudioReactiveError, CodecError, PresetError, RenderError, shown
from audioreactive.patches.presets import LARGEST_PRESET, parse_preset
from audioreactive.pipeline.planning import plan_render
from audioreactive.pipeline.preparing import prepare
from audioreactive.pipeline.production import RenderSettings, produce
from audioreactive.pipeline.recipe import Recipe
from audioreactive.pipeline.weights import weight_files
from audioreactive.progress import Progress, Silent

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from audioreactive.codec.container import Archive
    from audioreactive.patches.preset import Preset
    from audioreactive.pipeline.production import Production

KIND: Final = "recipe"
CHECKED: Final = 8
"""Frames whose digests are kept."""
THUMB: Final = (24, 16)
"""Size (width, height) of the small pictures."""
ALIKE: Final = 24.0
"""Likeness in dB of a video's frames and what its recipe gives from its song, from which the recipe is the video's."""
NEAR: Final = 20.0
"""The same, if the sound is the video's own, which its encoder has changed."""
BLOCK: Final = 8
"""Side in pixels of the blocks whose means are compared where an encoder has lost fine noise."""
BLOCKS_AHEAD: Final = 6.0
"""dB by which these means must be closer than whole frames: other pictures are closer in them too."""
KEPT: Final = 0.25
"""Correlation of what is finer than blocks, from which it is the same noise, coarsely coded; other noise has 0."""
OPUS_KILOBITS: Final = 128
LARGEST_SONG: Final = 1 << 30
MOST_FRAMES: Final = 6 * 3600 * 240


@dataclass(frozen=True)
class PackedRecipe:
    """Result of packing a recipe."""

    path: Path
    bytes: int
    song_bytes: int
    video_bytes: int
    psnr: float
    """Mean `likeness` in dB of the frames of the recipe to the video's, which its encoder has changed."""


@dataclass(frozen=True)
class Rendered:
    """Result of rendering a recipe again."""

    path: Path
    frames: int
    verdict: str
    """Sentence: whether the frames are the same, or by how much not."""


def pack_recipe(
    video: Path,
    output: Path,
    *,
    song: Path | None = None,
    model: Path | None = None,
    weights: tuple[Path, ...] = (),
    with_model: bool = False,
    as_opus: bool = False,
    start: Fraction = Fraction(0),
    device: str = "auto",
    progress: Progress | None = None,
) -> PackedRecipe:
    """Pack a video of this program as what it was made from.

    Args:
        video: the video.
        output: the file to write.
        song: the song that it was rendered from; None: the video's own sound, which its encoder has changed.
        model: the model's file, if it was made by one.
        weights: files that the preset's `[[weights]]` name; others are looked for beside the video.
        with_model: whether the model's file travels with the recipe.
        as_opus: whether the song is coded as Opus instead of as it is.
        start: start of the video in the song, if it was rendered with one.
        device: device that renders the frames to check.
        progress: receives the progress.

    Raises:
        CodecError: the video has no recipe, or another song, model or start gives its frames.
    """
    from audioreactive.video import probe, read_preset

    progress = progress or Silent()
    text = read_preset(video)
    if text is None and video.is_dir():
        raise CodecError(
            f"{str(video)!r} is a folder without a recipe: give a video of this program, or a folder of frames that "
            "'render' wrote, with its preset.toml"
        )
    if text is None:
        raise CodecError(f"{str(video)!r} carries no recipe: only videos of this program do; pack it without --recipe")
    preset = parse_preset(text, video.name)
    info = probe(video)
    with _song(video, song) as heard:
        least = ALIKE if _is_song(preset, heard, song, progress) else NEAR
        production = _production(
            heard, preset, _model(preset, model), start, info.frames, device, progress, weights=weights,
            folder=video.parent,
        )  # fmt: skip
        numbers = np.unique(np.linspace(0, info.frames - 1, CHECKED).astype(int)).tolist()
        with progress.track("checking", len(numbers), "frame") as advance:
            frames = _frames(production, numbers, advance)
        found = _checked(video, frames, numbers, least)
        data, suffix = _song_bytes(heard, as_opus)
    header: dict[str, Any] = {
        "kind": KIND,
        "picture": {"fps": str(info.fps), "frames": info.frames, "height": info.height, "width": info.width},
        "recipe": {
            "frames": numbers,
            "kernels": production.generator.fingerprint,
            "model": {"name": production.scene.source.name, "sha256": production.scene.source.sha256},
            "sha256": [_digest(frame) for frame in frames],
            "start": str(start),
        },
        "sound": {"suffix": suffix},
    }
    sections = {"recipe": lzma.compress(text.encode(), preset=9), "song": data, "thumbs": _thumbs(frames).tobytes()}
    if with_model:
        if model is None:
            raise CodecError("--with-model needs the model's file: give it with --model FILE")
        sections["model"] = read_regular(model, LARGEST_FILE)
    size = write_archive(output, header, sections)
    return PackedRecipe(output, size, len(data), _size(video), found)


def _size(video: Path) -> int:
    files = video.iterdir() if video.is_dir() else (video,)
    return sum(file.stat().st_size for file in files if file.is_file())


def unpack_recipe(
    archive: Archive,
    output: Path,
    *,
    model: Path | None = None,
    weights: tuple[Path, ...] = (),
    size: tuple[int, int] | None = None,
    fps: Fraction | None = None,
    device: str = "auto",
    overwrite: bool = False,
    progress: Progress | None = None,
) -> Rendered:
    """Render a recipe's video again, at any size and rate; the frames are checked if both are as packed.

    Raises:
        CodecError: the file is damaged, or another model is needed.
    """
    progress = progress or Silent()
    with opened(
        archive, model=model, weights=weights, size=size, fps=fps, device=device, progress=progress
    ) as production:
        told = archive.header["recipe"]
        verdict = "drawn at another size or rate"
        if size is None and fps is None:
            with progress.track("checking", len(told["frames"]), "frame") as advance:
                verdict = _compared(archive, _frames(production, told["frames"], advance), production)
        progress.say(verdict)
        made = produce(production, output, overwrite=overwrite, progress=progress)
    return Rendered(output, made.frames, verdict)


@contextmanager
def opened(
    archive: Archive,
    *,
    model: Path | None = None,
    weights: tuple[Path, ...] = (),
    size: tuple[int, int] | None = None,
    fps: Fraction | None = None,
    device: str = "auto",
    progress: Progress | None = None,
) -> Iterator[Production]:
    """Make the production of a recipe's file; its song lies in a temporary folder as long as the context lasts.

    Raises:
        CodecError: the file is damaged, or another model is needed.
    """
    told, suffix = _recipe(archive.header, archive.path), read_suffix(archive.header)
    preset = _preset(archive)
    frames = _frame_count(archive.header)
    with tempfile.TemporaryDirectory() as folder:
        song = Path(folder) / f"{archive.path.stem}{suffix}"
        archive.copy("song", song)
        if archive.has("model"):
            model = Path(folder) / Path(told["model"]["name"]).name
            archive.copy("model", model)
        chosen = _model(preset, model)
        yield _production(
            song, preset, chosen, Fraction(told["start"]), frames, device, progress or Silent(), size=size, fps=fps,
            digest=told["model"]["sha256"] if isinstance(chosen, Path) else None, weights=weights,
            folder=archive.path.parent,
        )  # fmt: skip


def read_recipe(archive: Archive) -> Preset:
    """Read all of a recipe's file but its song and its model.

    Raises:
        CodecError, PresetError: it is damaged, or was not made by `pack`.
    """
    _recipe(archive.header, archive.path)
    _frame_count(archive.header)
    read_suffix(archive.header)
    read_thumbs(archive)
    return _preset(archive)


def read_thumbs(archive: Archive) -> NDArray[np.uint8]:
    """Small pictures (n, h, w, 3) of the frames that are checked.

    Raises:
        CodecError: there are more or fewer than frames.
    """
    count = len(_recipe(archive.header, archive.path)["frames"])
    width, height = THUMB
    data = archive.read("thumbs", CHECKED * 3 * width * height)
    if len(data) != count * 3 * width * height:
        raise CodecError(
            f"{str(archive.path)!r} has {len(data)} bytes of small pictures, which do not fit: get it again"
        )
    return np.frombuffer(data, np.uint8).reshape(count, height, width, 3)


@contextmanager
def _song(video: Path, song: Path | None) -> Iterator[Path]:
    """The song's file: the given one, or the video's sound, with its packets as they are."""
    if song is not None:
        yield song
        return
    if video.is_dir():
        raise CodecError(
            f"{str(video)!r} is a folder of frames: give the song that it was rendered from with --song FILE"
        )
    from audioreactive.media.decoding import heard_track
    from audioreactive.media.ffmpeg import QUIET, VIDEO_DEMUXERS, run, stranger

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{video.stem}.mka"
        heard = heard_track(video)
        stream = "a:0" if heard is None else str(heard.stream)
        source = [*QUIET, *stranger(video, VIDEO_DEMUXERS), "-map", f"0:{stream}", "-c", "copy"]
        clean = ["-map_metadata", "-1", "-map_chapters", "-1", "-fflags", "+bitexact"]
        try:
            run([*source, *clean, str(path)])
        except AudioReactiveError as error:
            raise CodecError(f"the sound of {str(video)!r} cannot be taken out ({error}): give --song FILE") from error
        yield path


def _is_song(preset: Preset, heard: Path, song: Path | None, progress: Progress) -> bool:
    """Whether a file has the very sound that the video was rendered from; a given one must."""
    from audioreactive.media.audio import load

    wanted = preset.made_with.song_sha256 if preset.made_with else None
    if wanted is None or load(heard).digest == wanted:
        return True
    if song is not None:
        raise CodecError(f"{str(song)!r} is not the song that the video was rendered from: give that one with --song")
    progress.say(
        "the video's own sound was changed by its encoder, so that other frames may be rendered from it; the song's "
        "file gives the same ones: --song FILE"
    )
    return False


def _model(preset: Preset, model: Path | None) -> Path | str | None:
    """The generator of a preset: its name, or the file that was given."""
    from audioreactive.generators import named_source
    from audioreactive.generators.builtin import BUILTIN_NAME
    from audioreactive.generators.sources import NETWORK_NAME

    name = preset.made_with.model if preset.made_with else None
    if model is not None:
        return model
    if name is None:
        return None
    if name == BUILTIN_NAME:
        return NETWORK_NAME
    try:
        found = named_source(name)
    except RenderError as error:
        raise CodecError(f"the recipe is of a newer painter ({error}): update the program") from None
    if found is None:
        raise CodecError(f"the video was made by the model {shown(name)}: give its file with --model FILE")
    return name


def _production(
    song: Path, preset: Preset, model: Path | str | None, start: Fraction, frames: int, device: str,
    progress: Progress, *, size: tuple[int, int] | None = None, fps: Fraction | None = None, digest: str | None = None,
    weights: tuple[Path, ...] = (), folder: Path | None = None,
) -> Production:  # fmt: skip
    from audioreactive.generators import open_generator
    from audioreactive.generators.sources import digests_of
    from audioreactive.pipeline.listening import parse_frame_rate

    rate = parse_frame_rate(preset.render.fps) if preset.render.fps else None
    length = None if rate is None else frames / rate
    settings = RenderSettings(
        start=start, duration=length, device=device, size=size, fps=fps, weights=weights, folder=folder
    )
    loaded = None
    if isinstance(model, Path):
        loaded = open_generator(model, device=device, weights=weight_files(preset, weights, folder))
        wanted = digest or (preset.made_with.model_sha256 if preset.made_with else None)
        if wanted is not None and wanted not in digests_of(loaded.source):
            raise CodecError(f"{str(model)!r} is not the model of the recipe, whose SHA-256 is {wanted}")
    plan = plan_render(
        song, Path("video.mp4"), model=loaded or model, recipe=Recipe(preset=preset), settings=settings,
        progress=progress,
    )  # fmt: skip
    return prepare(plan, progress)


def _frames(production: Production, numbers: Sequence[int], advance: Any) -> list[NDArray[np.uint8]]:
    """Frames (h, w, 3) of a production by their numbers in the video, as finished pictures."""
    scene = replace(production.scene, layout="rgb24")
    renderer = scene.renderer_with(production.generator)
    made = []
    for number in numbers:
        at = min(production.start + number, production.stop - 1)
        first = at - at % renderer.batch
        for _, pixels in renderer.batches([first]):
            made.append(np.array(pixels[at - first]))
        advance(1)
    return made


def _checked(video: Path, frames: Sequence[NDArray[np.uint8]], numbers: Sequence[int], least: float) -> float:
    """Mean likeness of a recipe's frames to the video's.

    Raises:
        CodecError: they are not the same pictures.
    """
    from PIL import Image

    from audioreactive.video import read_frames

    wanted = set(numbers)
    found = {number: frame for number, frame in enumerate(read_frames(video)) if number in wanted}
    values = []
    for number, frame in zip(numbers, frames, strict=True):
        shown_frame = found[number]
        if frame.shape != shown_frame.shape:  # it was fitted into another shape
            small = Image.fromarray(frame).resize((shown_frame.shape[1], shown_frame.shape[0]))
            frame = np.asarray(small)
        values.append(likeness(shown_frame, frame))
    if (worst := min(values)) < least:
        at = numbers[values.index(worst)]
        raise CodecError(
            f"frame {at} of {video.name} is not what its recipe gives from this song (they are {worst:.1f} dB apart): "
            "give --song with the song's file, which a video of a part of it (--duration) needs, and --start if it was "
            "rendered with one; --draft, --loop and --flash-safe cannot be packed, nor what was recorded live"
        )
    return float(np.mean(values))


def likeness(coded: NDArray[np.uint8], frame: NDArray[np.uint8]) -> float:
    """How close a video's frame (h, w, 3) is to the one that was encoded, in dB, whatever its encoder made of noise.

    It is the PSNR, or what the means of blocks say if it is more. Encoders keep these means, and lose noise within
    blocks, colours first; what they keep of it must go with the frame's, so that other noise is not taken for it.
    """
    plain = psnr(coded[None], frame[None])
    rows, columns = (side // BLOCK for side in frame.shape[:2])
    if not rows or not columns:
        return plain
    blocks = [
        picture[: rows * BLOCK, : columns * BLOCK].reshape(rows, BLOCK, columns, BLOCK, 3).astype(np.float64)
        for picture in (coded, frame)
    ]
    means = [block.mean((1, 3), keepdims=True) for block in blocks]
    one, other = (block - mean for block, mean in zip(blocks, means, strict=True))
    power = math.sqrt(float(np.square(one).sum() * np.square(other).sum()))
    if float((one * other).sum()) < KEPT * power or not power:
        return plain
    far = float(np.square(means[0] - means[1]).mean())
    return max(plain, 10 * math.log10(255**2 / max(far, 1e-9)) - BLOCKS_AHEAD)


def _compared(archive: Archive, frames: Sequence[NDArray[np.uint8]], production: Production) -> str:
    """Say whether frames are those that were packed, or how far they are from them."""
    told = archive.header["recipe"]
    same = sum(_digest(frame) == digest for frame, digest in zip(frames, told["sha256"], strict=True))
    if same == len(frames):
        return f"the frames are the same: {same} of {same} checked ones, to the last bit"
    far = psnr(read_thumbs(archive), _thumbs(frames))
    kernels = production.generator.fingerprint
    why = "the sound was coded again"
    if kernels != told["kernels"]:
        why = f"{shown(told['kernels'])} made them, and {kernels} runs here"
    return f"{same} of {len(frames)} checked frames are the same; small pictures of them are {far:.1f} dB apart ({why})"


def _song_bytes(song: Path, as_opus: bool) -> tuple[bytes, str]:
    if as_opus:
        return opus(read_sound(song), OPUS_KILOBITS), ".opus"
    suffix = song.suffix.lower()
    if suffix not in SUFFIXES:
        raise CodecError(f"songs that end in {suffix!r} do not travel as they are: convert it to .flac, or give --opus")
    return read_regular(song, LARGEST_SONG), suffix


def _thumbs(frames: Sequence[NDArray[np.uint8]]) -> NDArray[np.uint8]:
    from PIL import Image

    return np.stack([np.asarray(Image.fromarray(frame).resize(THUMB, Image.Resampling.BOX)) for frame in frames])


def _digest(frame: NDArray[np.uint8]) -> str:
    return hashlib.sha256(f"{frame.shape}".encode() + np.ascontiguousarray(frame).tobytes()).hexdigest()


def _preset(archive: Archive) -> Preset:
    data = archive.read("recipe", LARGEST_PRESET)
    try:
        text = lzma.LZMADecompressor(lzma.FORMAT_XZ, memlimit=MEMORY).decompress(data, max_length=LARGEST_PRESET + 1)
        return parse_preset(text.decode(), archive.path.name)
    except (lzma.LZMAError, UnicodeDecodeError) as error:
        raise PresetError(f"the recipe in {str(archive.path)!r} cannot be read: {error}") from None


def _recipe(header: Mapping[str, Any], path: Path) -> dict[str, Any]:
    """The part of the header that belongs to the recipe.

    Raises:
        CodecError: it is not complete.
    """
    match header.get("recipe"):
        case {
            "frames": [*frames], "sha256": [*digests], "start": str(start), "kernels": str(),
            "model": {"name": str(), "sha256": str()},
        } if (
            0 < len(frames) == len(digests) <= CHECKED
            and all(type(number) is int and 0 <= number < MOST_FRAMES for number in frames)
            and len(start) < 24
        ):  # fmt: skip
            try:
                if 0 <= Fraction(start) < 24 * 3600:
                    return dict(header["recipe"])
            except (ValueError, ZeroDivisionError):
                pass
    raise CodecError(f"the header of {str(path)!r} states no recipe: get it again")


def _frame_count(header: Mapping[str, Any]) -> int:
    match header.get("picture"):
        case {"frames": int(frames)} if whole(frames) and 0 < frames < MOST_FRAMES:
            return frames
    raise CodecError("the header states no number of frames: get the file again")
