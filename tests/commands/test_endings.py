"""Small things at the end of a command: what is in the way, what ends a server, both spellings of a word."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path


def test_a_dry_run_says_what_is_in_the_way(call, song: Path, model: Path, tmp_path: Path) -> None:
    (tmp_path / "there.mp4").write_bytes(b"x")
    for options, told in (([], True), (["--overwrite"], False)):
        result = call("render", song, "--model", model, "--preset", "pulse", "-o", tmp_path / "there.mp4", "--dry-run",
                      *options)  # fmt: skip
        assert result.code == 0 and "frames " in result.out, result.err
        assert ("there.mp4 exists already" in result.err) is told


def test_what_does_not_go_together_is_told_before_what_is_in_the_way(call, song: Path, tmp_path: Path) -> None:
    (tmp_path / "there.mp4").write_bytes(b"x")
    refused = call("render", song, "-o", tmp_path / "there.mp4", "--best-of", "8", "--evolve", "16")
    assert refused.code == 2 and "leave one of them out" in refused.err


def test_colour_may_be_spelt_either_way(call, song: Path, model: Path, tmp_path: Path) -> None:
    shown = [
        call("render", song, "--model", model, "--preset", "pulse", option, "0.5", "--dry-run", "--save-preset",
             tmp_path / f"{option}.toml", "-o", tmp_path / "a.mp4").code
        for option in ("--colour", "--color")
    ]  # fmt: skip
    assert shown == [0, 0]
    one, other = ((tmp_path / f"{option}.toml").read_text("utf-8") for option in ("--colour", "--color"))
    assert one == other


@pytest.mark.parametrize(("words", "module", "name"), [
    (("studio", "--no-browser"), "audioreactive.studio.server", "serve"),
    (("share", "--no-browser", "--host", "127.0.0.1"), "uvicorn.Server", "run"),
])  # fmt: skip
def test_a_server_is_ended_by_an_interrupt(
    words: tuple[str, ...], module: str, name: str, call: Callable, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("uvicorn", reason="the studio's packages are not installed")

    def interrupted(*given: Any, sockets: Sequence[socket.socket] = ()) -> None:
        for one in (*given, *sockets):
            if isinstance(one, socket.socket):
                one.close()
        raise KeyboardInterrupt

    monkeypatch.setattr(f"{module}.{name}", interrupted)
    monkeypatch.chdir(tmp_path)
    result = call(*words)
    assert result.code == 0 and "interrupted" not in result.err and "Ctrl-C ends it" in result.err
    assert result.out.startswith("http://")
