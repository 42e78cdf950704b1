"""A clip to a file and back: sound and picture, any size and rate, cut short and gone on."""

from __future__ import annotations

import os
from fractions import Fraction
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from click.testing import CliRunner
from codec_clips import moving
from film_files import ffmpeg

from audioreactive.codec import packing
from audioreactive.codec.analysis import analyse
from audioreactive.codec.clip import Clip, check_clip, read_clip
from audioreactive.codec.container import archive_bytes, open_archive
from audioreactive.codec.fitting import Fit
from audioreactive.codec.grids import GridNetwork, Layout, enlarged
from audioreactive.codec.metrics import psnr
from audioreactive.codec.packing import PackSettings, begun, pack, read_player, read_rate, state_path
from audioreactive.errors import CodecError
from audioreactive.progress import Silent
from audioreactive.video import probe, read_frames

if TYPE_CHECKING:
    from pathlib import Path

QUICK = PackSettings(effort=0.1)


@pytest.fixture(scope="module")
def packed(clip_file: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    output = tmp_path_factory.mktemp("packed") / "clip.arc"
    from audioreactive.commands.pack import command

    run = CliRunner().invoke(
        command, [str(clip_file), "-o", str(output), "--effort", "0.1", "-q"], catch_exceptions=False
    )
    assert run.exit_code == 0 and "picture" in run.output
    return output


def test_a_packed_clip_looks_and_sounds_like_the_clip(clip_file: Path, packed: Path, tmp_path: Path) -> None:
    from audioreactive.commands.unpack import command

    video = tmp_path / "out.mkv"
    run = CliRunner().invoke(command, [str(packed), "-o", str(video), "-q"], catch_exceptions=False)
    assert run.exit_code == 0
    first, second = read_clip(clip_file), read_clip(video)
    assert psnr(first.frames, second.frames) > 30
    assert first.sound is not None and second.sound is not None
    both = np.corrcoef(first.sound.samples[:16000, 0], second.sound.samples[: 3 * 16000 : 3, 0])[0, 1]
    assert both > 0.95  # Opus is at 48 kHz
    assert packed.stat().st_size < first.frames.size / 2


def test_any_size_and_any_rate(packed: Path, tmp_path: Path) -> None:
    from audioreactive.codec.unpacking import unpack_network

    video = tmp_path / "large.mkv"
    unpack_network(open_archive(packed), video, size=(95, 63), fps=Fraction(24))
    info = probe(video)
    assert (info.width, info.height, info.fps, info.frames) == (95, 63, 24, 24)
    small = [frame for i, frame in enumerate(read_frames(video)) if i % 3 == 0]
    own = list(read_player(open_archive(packed)).pictures((95, 63), Fraction(8)))
    assert np.array_equal(np.stack(small), np.stack(own))


def test_the_same_clip_gives_the_same_bytes(tmp_path: Path) -> None:
    clip = Clip(moving(4, (16, 12)), Fraction(8), None)
    files = [tmp_path / name for name in ("a.arc", "b.arc")]
    for file in files:
        pack(clip, file, QUICK)
    assert files[0].read_bytes() == files[1].read_bytes()


def test_a_size_is_kept(tmp_path: Path) -> None:
    frames = np.random.RandomState(0).randint(0, 256, (2, 18, 30, 3), np.uint8)
    made = pack(Clip(frames, Fraction(3), None), tmp_path / "a.arc", PackSettings(size=4800, effort=0.04))
    assert made.bytes == (tmp_path / "a.arc").stat().st_size <= 4800


@pytest.mark.parametrize(("asked", "frames"), [(4800, 4), (7500, 12)])
def test_a_size_is_used(tmp_path: Path, asked: int, frames: int) -> None:
    # What moves loses most of the bytes that it began with; what does not keeps them.
    noisy = moving(frames, (64, 40)).astype(int) + np.random.RandomState(0).randint(-20, 21, (frames, 40, 64, 1))
    clip = Clip(noisy.clip(0, 255).astype(np.uint8), Fraction(8), None)
    made = pack(clip, tmp_path / "a.arc", PackSettings(size=asked, effort=0.06))
    assert 0.97 * asked <= made.bytes <= asked


def test_an_interrupted_fit_keeps_its_size(tmp_path: Path) -> None:
    clip = Clip(np.random.RandomState(0).randint(0, 256, (2, 36, 60, 3), np.uint8), Fraction(3), None)
    with pytest.raises(KeyboardInterrupt):
        pack(clip, tmp_path / "a.arc", PackSettings(size=4800, effort=0.04), _Interrupting(3))
    assert (tmp_path / "a.arc").stat().st_size <= 4800 and begun(tmp_path / "a.arc")


def test_more_bytes_look_better(tmp_path: Path) -> None:
    clip = Clip(moving(3), Fraction(8), None)
    sizes = [pack(clip, tmp_path / f"{k}.arc", PackSettings(size=k, effort=0.06)) for k in (2900, 7000)]
    assert sizes[1].psnr > sizes[0].psnr + 1 and sizes[1].bytes > sizes[0].bytes


def test_a_size_that_is_too_small_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CodecError, match=r"1000 bytes are too few.*give at least"):
        pack(Clip(moving(), Fraction(8), None), tmp_path / "a.arc", PackSettings(size=1000))


class _Interrupting(Silent):
    """Progress that interrupts at a step."""

    def __init__(self, at: int, kind: type[BaseException] = KeyboardInterrupt) -> None:
        self.at, self.kind, self.said = at, kind, []

    def say(self, message: str) -> None:
        self.said.append(message)

    def track(self, stage: str, total: int, unit: str):  # type: ignore[no-untyped-def]
        import contextlib

        @contextlib.contextmanager
        def tracked():  # type: ignore[no-untyped-def]
            done = 0

            def advance(count: int) -> None:
                nonlocal done
                done += count
                if done >= self.at:
                    raise self.kind

            yield advance

        return tracked()


def test_an_interrupt_keeps_the_best_and_the_rest_follows(tmp_path: Path) -> None:
    clip, whole, cut = Clip(moving(4, (16, 12)), Fraction(8), None), tmp_path / "a.arc", tmp_path / "b.arc"
    pack(clip, whole, QUICK)
    with pytest.raises(KeyboardInterrupt) as caught:
        pack(clip, cut, QUICK, _Interrupting(11))
    assert "the same command goes on" in caught.value.__notes__[0]
    assert begun(cut) and read_player(open_archive(cut)).frames == 4
    on = _Interrupting(10**9)
    pack(clip, cut, QUICK, on)
    assert "going on at step 11 of 30" in on.said
    assert cut.read_bytes() == whole.read_bytes() and not begun(cut)


def test_a_killed_fit_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packing, "SAVED_SECONDS", 0.0)
    clip, output = Clip(moving(4, (16, 12)), Fraction(8), None), tmp_path / "a.arc"
    with pytest.raises(ZeroDivisionError):  # nothing is written after it, as after a kill
        pack(clip, output, QUICK, _Interrupting(9, ZeroDivisionError))
    assert not output.exists()
    on = _Interrupting(10**9)
    pack(clip, output, QUICK, on)
    assert "going on at step 8 of 30" in on.said


def test_a_process_that_is_killed_goes_on(tmp_path: Path) -> None:
    import subprocess
    import sys
    import time

    np.save(tmp_path / "frames.npy", moving(4, (16, 12)))
    script = (
        "import numpy as np; from fractions import Fraction; from pathlib import Path; "
        "from audioreactive.codec import packing; from audioreactive.codec.clip import Clip; "
        "packing.SAVED_SECONDS = 0.0; clip = Clip(np.load('frames.npy'), Fraction(8), None); "
        "packing.pack(clip, Path('a.arc'), packing.PackSettings(effort=20.0))"
    )
    process = subprocess.Popen([sys.executable, "-c", script], cwd=tmp_path)
    output = tmp_path / "a.arc"
    while not begun(output) and process.poll() is None:
        time.sleep(0.02)
    process.kill()
    process.wait()
    assert begun(output) and not output.exists()
    on = _Interrupting(1)
    with pytest.raises(KeyboardInterrupt):
        pack(Clip(np.load(tmp_path / "frames.npy"), Fraction(8), None), output, PackSettings(effort=20.0), on)
    assert any("going on at step" in said for said in on.said)
    assert read_player(open_archive(output)).frames == 4


def test_a_state_of_something_else_is_not_gone_on_with(tmp_path: Path) -> None:
    clip, output = Clip(moving(4, (16, 12)), Fraction(8), None), tmp_path / "a.arc"
    state_path(output).write_bytes(b"PK\x03\x04 nothing")
    assert not begun(output)
    on = _Interrupting(10**9)
    pack(clip, output, QUICK, on)
    assert not any("going on" in said for said in on.said)


def test_a_state_that_is_a_pipe_or_a_link_is_not_read(tmp_path: Path) -> None:
    output = tmp_path / "a.arc"
    os.mkfifo(state_path(output))
    assert not begun(output)
    state_path(output).unlink()
    state_path(output).symlink_to("/dev/zero")
    assert not begun(output)


def test_a_state_that_does_not_fit_leaves_the_fit_as_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A part of it was taken before it did not fit."""
    monkeypatch.setattr(packing, "SAVED_SECONDS", 0.0)
    clip, whole, cut = Clip(moving(4, (16, 12)), Fraction(8), None), tmp_path / "a.arc", tmp_path / "b.arc"
    pack(clip, whole, QUICK)
    with pytest.raises(ZeroDivisionError):
        pack(clip, cut, QUICK, _Interrupting(9, ZeroDivisionError))
    kept = packing._kept(cut)
    assert kept is not None
    packing.write_entry(state_path(cut), packing._MAGIC, {name: kept[name] for name in kept if name != "draw"})
    on = _Interrupting(10**9)
    pack(clip, cut, QUICK, on)
    assert not any("going on" in said for said in on.said)
    assert cut.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("every", [0, 4])
def test_what_is_fitted_is_what_is_decoded(every: int) -> None:
    frames = moving(10, (66, 36))
    fit = Fit(frames, steps=10, weight=1e-3, pyramid=analyse(frames, Layout(10, (66, 36), every)))
    draw = torch.Generator().manual_seed(0)
    for grid, kind in zip(fit.network.grids, fit._kinds, strict=True):
        grid.data.add_(torch.randn(grid.shape, generator=draw) * {"motion": 9, "light": 9}.get(kind, 2)).round_()
    for name, parameter in fit.network.named_parameters():
        if not name.startswith("grids"):
            parameter.data.add_(torch.randn(parameter.shape, generator=draw) * 0.05)
    drawn = [0, 3, 5, 9]
    seen = fit._seen(drawn)
    slices: dict[str, list[torch.Tensor]] = {}
    for grid, kind in zip(fit.network.grids, fit._kinds, strict=True):
        slices.setdefault(kind, []).append(grid.data[seen[kind]])
    with torch.inference_mode():
        made = (fit._draw_frames(drawn, slices, seen).clamp(0, 1) * 255 + 0.5).to(torch.uint8)
    for number, frame in zip(drawn, made, strict=True):
        far = fit.network.picture(number / 9, (66, 36)).int() - frame.permute(1, 2, 0).int()
        assert int(far.abs().max()) <= 1
    assert enlarged(torch.ones(1, 1, 2, 2), (5, 4)).shape == (1, 1, 5, 4)


def test_a_picture_does_not_depend_on_its_bands(packed: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from audioreactive.codec import grids

    player = read_player(open_archive(packed))
    whole = player.picture(0.3, (100, 80))
    monkeypatch.setattr(grids, "PIXELS_AT_ONCE", 700)
    assert np.array_equal(player.picture(0.3, (100, 80)), whole)


def test_what_is_not_for_networks_is_refused(tmp_path: Path) -> None:
    import soundfile

    from audioreactive.codec.clip import check_clip

    with pytest.raises(CodecError, match=r"lasts 3600 s.*--recipe"):
        check_clip("film.mp4", 86400, Fraction(24), (64, 48))
    with pytest.raises(CodecError, match=r"give --side 5.. to shrink"):
        check_clip("film.mp4", 100, Fraction(24), (1920, 1080))
    soundfile.write(tmp_path / "song.wav", np.zeros(1000), 8000)
    with pytest.raises(CodecError, match="is a sound without a picture"):
        read_clip(tmp_path / "song.wav")


def test_a_decoder_comes_back_to_half_a_step() -> None:
    import zlib

    from audioreactive.codec.network import MATRICES, PLAIN, decoder_bytes, read_decoder

    torch.manual_seed(0)
    layout = Layout(5, (20, 10), 2)
    network = GridNetwork(layout, hidden=5)
    state = network.state_dict()
    state["second.weight"][2] = 0
    data = decoder_bytes(network)
    back = read_decoder(data, layout, 5)
    assert all(torch.equal(back[name], state[name].half().float()) for name in PLAIN)
    for name, largest in MATRICES.items():
        step = state[name].flatten(1).abs().amax(1) / largest
        assert bool(((back[name] - state[name]).flatten(1).abs() <= 0.51 * step[:, None]).all())
    whole = 2 * (layout.units + 3 * layout.channels + 3 + 5 + 5 + 5 + 5 + 3)
    for damaged in (data[:-1], data[:9], data + b"0", data[:whole] + zlib.compress(bytes(1 << 20)),
                    b"\xff\x7f" + data[2:]):  # fmt: skip
        with pytest.raises(CodecError, match="get the file again"):
            read_decoder(damaged, layout, 5)


def test_what_has_no_picture_is_told_in_one_sentence(clip_file: Path, tmp_path: Path) -> None:
    from audioreactive.codec.clip import read_clip

    song, cut = clip_file.parent / "tone.wav", tmp_path / "cut.mkv"
    with pytest.raises(CodecError, match=r"^'[^']*tone.wav' is a sound without a picture: give a video[^.:]*$"):
        read_clip(song)
    cut.write_bytes(b"no video")
    for path in (cut, tmp_path / "nothing.mp4"):
        with pytest.raises(CodecError) as caught:
            read_clip(path)
        assert str(caught.value).count(str(path)) == 1 and "is a sound" not in str(caught.value)


def test_without_its_package_a_network_is_refused_at_once(
    clip_file: Path, packed: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import sys

    from click.testing import CliRunner

    from audioreactive.commands import group

    monkeypatch.setitem(sys.modules, "constriction", None)
    for call in (["pack", str(clip_file), "-o", str(tmp_path / "a.arc")],
                 ["unpack", str(packed), "-o", str(tmp_path / "a.mp4")]):  # fmt: skip
        failed = CliRunner().invoke(group, call).exception
        assert isinstance(failed, CodecError) and "pip install 'audioreactive[codec]'" in str(failed)
    assert not list(tmp_path.iterdir())


def test_the_rest_of_the_program_does_not_import_its_package() -> None:
    import subprocess
    import sys

    script = (
        "import sys; sys.modules['constriction'] = None; import audioreactive.api, audioreactive.commands.pack; "
        "import audioreactive.codec.recipe, audioreactive.codec.pages, audioreactive.pipeline.preparing"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0


def test_a_single_frame(tmp_path: Path) -> None:
    packed = pack(Clip(moving(1), Fraction(25), None), tmp_path / "a.arc", QUICK)
    player = read_player(open_archive(packed.path))
    assert packed.psnr > 25 and len(list(player.pictures((5, 7), Fraction(50)))) == 2


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("picture", {"fps": "8", "frames": 10**9, "height": 32, "width": 48}),
        ("picture", {"fps": "8", "frames": 9, "height": 32, "width": 48}),
        ("picture", {"fps": "8/0", "frames": 8, "height": 32, "width": 48}),
        ("picture", {"fps": "1e9", "frames": 8, "height": 32, "width": 48}),
        ("picture", {"fps": "8", "frames": True, "height": 32, "width": 48}),
        ("picture", {"fps": "8", "frames": 8, "height": True, "width": 48}),
        ("picture", None),
        ("network", {"every": 4, "form": 2, "hidden": 10**6}),
        ("network", {"every": 4, "form": 2, "hidden": 23}),
        ("network", {"every": 3, "form": 2, "hidden": 24}),
        ("network", {"every": 8, "form": 2, "hidden": 24}),
        ("network", {"every": True, "form": 2, "hidden": 24}),
        ("network", {"every": 10**9, "form": 2, "hidden": 24}),
        ("network", {"every": -1, "form": 2, "hidden": 24}),
        ("network", {"hidden": 24}),
        ("network", None),
        ("sound", {"suffix": ".sh"}),
    ],
)
def test_headers_that_do_not_fit_their_sections(packed: Path, tmp_path: Path, key: str, value: object) -> None:
    archive = open_archive(packed)
    sections = {section.name: archive.read(section.name, 1 << 20) for section in archive.sections}
    header = {name: told for name, told in archive.header.items() if name != "sections"} | {key: value}
    (tmp_path / "a.arc").write_bytes(archive_bytes(header, sections))
    with pytest.raises(CodecError):
        read_player(open_archive(tmp_path / "a.arc"))


def test_a_file_of_the_first_form_is_refused_with_a_sentence(packed: Path, tmp_path: Path) -> None:
    archive = open_archive(packed)
    sections = {section.name: archive.read(section.name, 1 << 20) for section in archive.sections}
    header = {name: told for name, told in archive.header.items() if name != "sections"} | {"network": {"hidden": 24}}
    (tmp_path / "a.arc").write_bytes(archive_bytes(header, sections))
    with pytest.raises(CodecError, match=r"form 1, and this program reads form 2: pack the clip again"):
        read_player(open_archive(tmp_path / "a.arc"))


def played(path: Path, *arguments: object) -> Path:
    """A clip of 2 s at 10 frames a second whose picture and sound begin as `arguments` say: a loud tone of 1 s."""
    picture = ["-f", "lavfi", "-i", "testsrc=s=16x16:r=10:d=2"]
    told = [str(argument) for argument in arguments]
    sound = ["-f", "lavfi", "-i", "aevalsrc=0.9*sin(2000*t):s=8000:d=1"]
    ffmpeg(*picture, *told, *sound, "-c:v", "ffv1", "-c:a", "flac", "-avoid_negative_ts", "disabled", path)
    return path


@pytest.mark.parametrize(("offset", "first", "last"), [(0.5, 0.5, 1.5), (-0.25, 0.0, 0.75), (1.5, 1.5, 2.0), (0, 0, 1)])
def test_a_sound_is_packed_where_it_is_heard(tmp_path: Path, offset: float, first: float, last: float) -> None:
    clip = read_clip(played(tmp_path / "clip.mkv", "-itsoffset", offset))
    assert clip.sound is not None and clip.seconds == 2
    loud = np.flatnonzero(np.abs(clip.sound.samples[:, 0]) > 0.1) / clip.sound.rate
    assert loud[0] == pytest.approx(first, abs=0.003) and loud[-1] == pytest.approx(last, abs=0.003)
    assert len(clip.sound.samples) <= clip.seconds * clip.sound.rate + 1


def test_a_sound_that_is_not_heard_with_the_picture_is_left_out(tmp_path: Path) -> None:
    assert read_clip(played(tmp_path / "clip.mkv", "-itsoffset", "3")).sound is None


def test_pictures_without_an_even_rate_are_packed_when_they_are_shown(tmp_path: Path) -> None:
    """Ten pictures in the first second and one in each of the next four, each with its time as its brightness."""
    times = [*(k / 10 for k in range(10)), 1, 2, 3, 4]
    folder = tmp_path / "pictures"
    folder.mkdir()
    lines = []
    for k, (time, after) in enumerate(zip(times, [*times[1:], 5], strict=True)):
        grey = np.full((16, 16), round(50 * time), np.uint8)
        (folder / f"{k}.pgm").write_bytes(b"P5 16 16 255\n" + grey.tobytes())
        lines.append(f"file {k}.pgm\nduration {after - time}\n")
    (folder / "list.txt").write_text("".join(lines))
    ffmpeg("-f", "concat", "-i", folder / "list.txt", "-fps_mode", "vfr", "-c:v", "ffv1", tmp_path / "uneven.mkv")
    clip = read_clip(tmp_path / "uneven.mkv")
    assert clip.seconds == pytest.approx(4, abs=0.5)
    for number, frame in enumerate(clip.frames):
        at = float(number / clip.fps)
        shown = max(time for time in times if time <= at + 1e-3)
        assert frame[8, 8, 0] == pytest.approx(50 * shown, abs=2), at


@pytest.mark.parametrize("fps", [Fraction(1, 60), Fraction(1, 20), Fraction(24000, 1001), Fraction(240)])
def test_rates_that_are_packed_are_read(fps: Fraction) -> None:
    check_clip("clip", 1, fps, (16, 16))
    assert read_rate({"picture": {"fps": str(fps)}}) == fps


@pytest.mark.parametrize("fps", [Fraction(1, 61), Fraction(241), Fraction(1000)])
def test_rates_that_cannot_be_read_are_not_packed(fps: Fraction) -> None:
    with pytest.raises(CodecError, match="frames a second"):
        check_clip("clip", 1, fps, (16, 16))
    with pytest.raises(CodecError, match="frame rate"):
        read_rate({"picture": {"fps": str(fps)}})


@pytest.mark.parametrize("what", ["a pipe", "a folder"])
def test_what_is_no_file_is_a_sentence(what: str, tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    (os.mkfifo if what == "a pipe" else os.mkdir)(path)
    with pytest.raises(CodecError, match=r"a device or a pipe|no folder of frames"):
        read_clip(path)
