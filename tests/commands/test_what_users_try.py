"""Things that new users try, and the sentences or files that they get."""

from __future__ import annotations

from audioreactive.patches.presets import network_presets, shipped_presets


def test_every_preset_that_ships_is_listed(call) -> None:
    shown = call("preset", "show")
    names = [line.split()[0] for line in shown.out.splitlines() if line and not line.startswith("for ")]
    assert shown.code == 0 and names == [*shipped_presets(), *network_presets()]
    assert "StyleGAN3" in next(line for line in shown.out.splitlines() if line.startswith("turntable"))


def test_the_help_of_a_new_preset_has_no_default_that_is_refused(call) -> None:
    assert "song's content" not in " ".join(call("preset", "new", "--help").out.split())
    assert call("preset", "new").code == 2


def test_the_doctor_tells_every_extra(call) -> None:
    said = call("doctor").out.partition("extras\n")[2].partition("folders\n")[0]
    for name in ("madmom", "studio", "live", "pack, unpack", "Ray"):
        assert f"  {name}" in said


def test_a_folder_is_no_recipe(call, tmp_path) -> None:
    refused = call("pack", "--recipe", tmp_path, "-o", tmp_path / "out.arc")
    assert refused.code == 2 and "is a folder without a recipe: give a video of this program" in refused.err
    assert list(tmp_path.iterdir()) == []


def test_what_is_unpacked_is_looked_at_before_its_name(call, song, tmp_path) -> None:
    (tmp_path / "song.mp4").touch()
    (tmp_path / "song.mp3").write_bytes(song.read_bytes())
    refused = call("unpack", tmp_path / "song.mp3")
    assert refused.code == 2 and "is no .arc file" in refused.err


def test_a_folder_is_no_live_input(call, tmp_path) -> None:
    refused = call("live", "--input", tmp_path, "--headless", "--seconds", 1)
    assert refused.code == 2 and "is a folder, and no device has that name" in refused.err


def test_the_name_of_a_generator_says_what_to_do(call, tmp_path) -> None:
    refused = call("sync", tmp_path / "video.mp4", "--model", "stylegan2")
    assert refused.code == 2 and "not a file: leave --model out" in refused.err


def test_a_folder_of_frames_is_packed_with_its_song(call, song, tmp_path) -> None:
    frames = tmp_path / "frames"
    made = call("render", song, "--preset", "pulse", "--size", "32x18", "--fps", 10, "--duration", 1, "-o", frames)
    assert made.code == 0, made.err
    refused = call("pack", "--recipe", frames, "-o", tmp_path / "a.arc")
    assert refused.code == 2 and "is a folder of frames: give the song" in refused.err
    packed = call("pack", "--recipe", frames, "--song", song, "-o", tmp_path / "a.arc")
    assert packed.code == 0, packed.err
    assert "its frames are exactly those" in packed.out and "the video has 0.0 KB" not in packed.out


def test_a_picture_is_no_video_without_words_of_ffmpeg(call, tmp_path) -> None:
    from PIL import Image

    Image.new("RGB", (32, 32)).save(tmp_path / "a.jpg")
    for command in ("score", "pack"):
        refused = call(command, tmp_path / "a.jpg")
        assert refused.code == 2 and "ffmpeg cannot do this" not in refused.err
