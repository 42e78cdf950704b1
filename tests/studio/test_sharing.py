"""Files from browser to browser: who is there, what is passed on and refused, and the way in real browsers."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import threading
import urllib.error
import urllib.request
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PATIENCE = 120
"""Seconds for which what must come is waited for: a busy machine may take its time."""
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")


@dataclass
class Served:
    """A page that is served."""

    port: int
    sharing: Any

    def address(self, path: str = "/") -> str:
        return f"http://127.0.0.1:{self.port}{path}?token=secret"

    def get(self, path: str) -> tuple[int, bytes, dict[str, str]]:
        try:
            with urllib.request.urlopen(self.address(path), timeout=PATIENCE) as response:
                return response.status, response.read(), dict(response.headers)
        except urllib.error.HTTPError as error:
            return error.code, error.read(), dict(error.headers)


@contextlib.contextmanager
def serving(*offered: Path) -> Iterator[Served]:
    from audioreactive.studio.safety import listening_socket
    from audioreactive.studio.server import server_of
    from audioreactive.studio.sharing import Sharing

    with listening_socket(0) as listening:
        port = listening.getsockname()[1]
        sharing = Sharing(offered, "secret", port)
        server = server_of(sharing.app)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]})
        thread.start()
        try:
            yield Served(port, sharing)
        finally:
            server.should_exit = True
            thread.join()


class Guest:
    """A page's end of the connection."""

    def __init__(self, socket: Any) -> None:
        self.socket = socket
        self.me = self.until("welcome")["you"]

    def say(self, **message: Any) -> None:
        self.socket.send(json.dumps(message))

    def until(self, kind: str, holds: Callable[[dict[str, Any]], bool] = lambda message: True) -> dict[str, Any]:
        while True:
            message = json.loads(self.socket.recv(timeout=PATIENCE))
            if message["type"] == kind and holds(message):
                return message


@contextlib.contextmanager
def guest(served: Served) -> Iterator[Guest]:
    from websockets.sync.client import connect

    address, origin = f"ws://127.0.0.1:{served.port}/socket?token=secret", f"http://127.0.0.1:{served.port}"
    with connect(address, origin=origin) as socket:
        yield Guest(socket)


def names(message: dict[str, Any]) -> list[str]:
    return [person["name"] for person in message["people"]]


def test_everybody_sees_who_is_there() -> None:
    with serving() as served, guest(served) as ada:
        with guest(served) as grace:
            ada.until("people", lambda told: len(told["people"]) == 2)
            grace.say(type="name", name="  Grace\x1b[2J ")
            assert names(ada.until("people", lambda told: "guest 2" not in names(told))) == ["guest 1", "Grace\\x1b[2J"]
        assert names(ada.until("people", lambda told: len(told["people"]) == 1)) == ["guest 1"]


def test_signals_go_to_the_one_they_are_for() -> None:
    with serving() as served, guest(served) as ada, guest(served) as grace, guest(served) as alan:
        ada.say(type="signal", to=grace.me, signal={"kind": "ask", "of": [1, None, "x"]})
        told = grace.until("signal")
        assert told["from"] == ada.me and told["signal"] == {"kind": "ask", "of": [1, None, "x"]}
        ada.say(type="signal", to="0" * 16, signal={})
        assert ada.until("gone")["who"] == "0" * 16
        grace.say(type="signal", to=alan.me, signal={"kind": "second"})
        assert alan.until("signal")["from"] == grace.me  # and not the first one


@pytest.mark.parametrize(
    "text",
    [
        "", "{", "[]", "1", "null", '{"type":"name"}', '{"type":"name","name":""}', '{"type":"name","name":7}',
        '{"type":"name","name":"' + "x" * 41 + '"}', '{"type":"signal","to":"../x","signal":{}}',
        '{"type":"signal","to":"0123456789abcdef","signal":[]}', '{"type":"open","song":1}', "[" * 60_000,
        '{"type":"signal","to":"0123456789abcdef","signal":{"a":' + "[" * 60_000 + "}}",
        '{"type":"name","name":"a","more":1}', "\x00", b"\xff\x00",
    ],
)  # fmt: skip
def test_what_is_no_message_is_refused(shared: Served, text: str | bytes) -> None:
    with guest(shared) as ada:
        ada.socket.send(text)
        assert ada.until("error")["message"] == "this message cannot be read"


@pytest.fixture(scope="module")
def shared() -> Iterator[Served]:
    with serving() as served:
        yield served


def test_a_page_that_takes_nothing_costs_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """Messages for a page that does not read them are dropped, not kept."""
    import asyncio

    from audioreactive.studio import sharing

    monkeypatch.setattr(sharing, "MOST_WAITING", 3)
    person = sharing.Person("0" * 16, "x")
    for number in range(10):
        person.tell({"type": "signal", "signal": number})
    assert person.waiting.qsize() == 3 and isinstance(person.waiting, asyncio.Queue)


def test_no_more_than_so_many(monkeypatch: pytest.MonkeyPatch) -> None:
    from websockets.exceptions import ConnectionClosed

    from audioreactive.studio import sharing

    monkeypatch.setattr(sharing, "MOST_PEOPLE", 2)
    with serving() as served, guest(served), guest(served):
        with pytest.raises(ConnectionClosed) as refused, guest(served):
            pass
        assert refused.value.rcvd is not None and refused.value.rcvd.code == sharing.FULL


def test_strangers_are_refused() -> None:
    from websockets.exceptions import InvalidStatus
    from websockets.sync.client import connect

    with serving() as served:
        socket = f"ws://127.0.0.1:{served.port}/socket"
        for address, origin in (
            (socket, f"http://127.0.0.1:{served.port}"),
            (f"{socket}?token=secret", "http://example.com"),
            (f"{socket}?token=secret", None),
        ):
            with pytest.raises(InvalidStatus), connect(address, origin=origin):
                pass
        for path in ("/", "/offered", "/file/0"):
            with pytest.raises(urllib.error.HTTPError, match="403"):
                urllib.request.urlopen(f"http://127.0.0.1:{served.port}{path}", timeout=PATIENCE)
        rebound = urllib.request.Request(served.address(), headers={"host": f"evil.example:{served.port}"})
        with pytest.raises(urllib.error.HTTPError, match="403"):
            urllib.request.urlopen(rebound, timeout=PATIENCE)


def test_another_address_is_another_host(tmp_path: Path) -> None:
    """On the network's address, loopback names are refused, and the other way round."""
    import asyncio

    from audioreactive.studio.sharing import Sharing

    async def status(host: str) -> int:
        app = Sharing([], "secret", 80, "192.0.2.7").app
        sent: list[dict[str, Any]] = []

        async def receive() -> dict[str, Any]:
            return {"type": "http.request"}

        async def send(message: dict[str, Any]) -> None:
            sent.append(message)

        scope = {
            "type": "http", "method": "GET", "path": "/offered", "raw_path": b"/offered", "root_path": "",
            "headers": [(b"host", host.encode())], "query_string": b"token=secret", "scheme": "http",
        }  # fmt: skip
        await app(scope, receive, send)
        return int(sent[0]["status"])

    assert asyncio.run(status("192.0.2.7:80")) == 200
    assert asyncio.run(status("127.0.0.1:80")) == 403


def test_files_on_offer(tmp_path: Path) -> None:
    film, other, gone = tmp_path / "film.mp4", tmp_path / 'a "b".bin', tmp_path / "gone.mp4"
    film.write_bytes(b"film")
    other.write_bytes(b"other")
    gone.write_bytes(b"gone")
    damaged = tmp_path / "clip.arc"
    damaged.write_bytes(b"no clip")
    with serving(gone, film, other, damaged) as served:
        gone.unlink()
        listed = json.loads(served.get("/offered")[1])
        assert [(one["number"], one["name"], one["size"], one["watched"]) for one in listed] == [
            (1, "film.mp4", 4, True), (2, 'a "b".bin', 5, False), (3, "clip.arc", 7, True),
        ]  # fmt: skip
        code, data, headers = served.get("/file/2")
        assert (code, data) == (200, b"other") and headers["content-disposition"].startswith("attachment")
        assert served.get("/watch/1")[:2] == (200, b"film")
        assert "inline" in served.get("/watch/1")[2]["content-disposition"]
        assert [served.get(path)[0] for path in ("/file/0", "/watch/2", "/file/4", "/watch/99")] == [404] * 4
        code, said, _ = served.get("/watch/3")
        assert code == 409 and b"clip.arc cannot be shown: " in said and str(tmp_path).encode() not in said


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    from audioreactive.commands.share import command

    failed = CliRunner().invoke(command, [str(tmp_path / "none.arc"), "--no-browser"]).exception
    assert str(failed).startswith("there is no file")


def test_an_address_of_another_computer_is_refused() -> None:
    from audioreactive.errors import RenderError
    from audioreactive.studio.safety import listening_socket

    with pytest.raises(RenderError, match=r"the port 0 of 203\.0\.113\.77 cannot be used"):
        listening_socket(0, "203.0.113.77")


# In browsers.


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
    if CHROMIUM is None:
        pytest.skip("there is no Chromium here: apt-get install chromium")
    flags = ["--no-sandbox", "--disable-features=WebRtcHideLocalIpsWithMdns", "--allow-loopback-in-peer-connection"]
    with api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


@pytest.fixture
def open_page() -> Iterator[Served]:
    """A page that nobody has yet."""
    with serving() as served:
        yield served


@pytest.fixture
def pair(browser: Any, open_page: Served) -> Iterator[tuple[Any, Any]]:
    """Two people with the page, each in a browser of their own."""
    contexts = [browser.new_context(bypass_csp=True, accept_downloads=True) for _ in range(2)]
    pages, problems = [], []
    for context, name in zip(contexts, ("Ada", "Grace"), strict=True):
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(open_page.address())
        page.wait_for_function("window.sharing?.people().length > 0")
        page.fill("#name", name)
        page.press("#name", "Enter")
        pages.append(page)
    pages[0].wait_for_selector("[data-person] >> text=Grace")
    yield pages[0], pages[1]
    for context in contexts:
        context.close()
    assert not problems


def send(page: Any, file: Path) -> None:
    with page.expect_file_chooser() as choosing:
        page.click("[data-person] >> text=Send a file")
    choosing.value.set_files(file)


def test_a_file_arrives_whole(pair: tuple[Any, Any], tmp_path: Path) -> None:
    ada, grace = pair
    content = np.random.RandomState(0).bytes(1_500_001)
    (tmp_path / "clip.arc").write_bytes(content)
    send(ada, tmp_path / "clip.arc")
    grace.click("text=Accept")
    for page in pair:
        page.wait_for_selector("[data-state=done]")
    with grace.expect_download() as downloading:
        grace.click("#transfers >> text=Save")
    assert downloading.value.suggested_filename == "clip.arc"
    downloading.value.save_as(tmp_path / "got")
    assert (tmp_path / "got").read_bytes() == content
    for data in (b"", b"abc", bytes(55), bytes(56), bytes(64), bytes(119), content[:100_003]):
        found = ada.evaluate(
            """async (bytes) => { const { Sha256 } = await import("/page/sha256.js"); const digest = new Sha256();
            for (let at = 0; at < bytes.length; at += 1000) digest.update(Uint8Array.from(bytes.slice(at, at + 1000)));
            return digest.hex(); }""",
            list(data),
        )
        assert found == hashlib.sha256(data).hexdigest()


def test_a_packed_clip_is_watched(browser: Any, tmp_path: Path) -> None:
    """Its page plays, and has access to nothing else."""
    pytest.importorskip("constriction", reason="the codec's package is not installed")
    from fractions import Fraction

    from codec_clips import moving

    from audioreactive.codec.clip import Clip
    from audioreactive.codec.packing import PackSettings, pack

    pack(Clip(moving(2, (24, 16)), Fraction(8), None), tmp_path / "clip.arc", PackSettings(effort=0.05))
    with serving(tmp_path / "clip.arc") as served:
        assert "sandbox allow-scripts;" in served.get("/watch/0")[2]["content-security-policy"]
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        problems: list[str] = []
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(served.address())
        with context.expect_page() as opening:
            page.click("text=Watch")
        opening.value.set_default_timeout(1000 * PATIENCE)
        opening.value.wait_for_selector("#controls", state="visible")
        assert not opening.value.inner_text("#message") and not problems
        assert opening.value.evaluate("origin") == "null"
        context.close()


def test_one_page_too_many_is_told(browser: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from audioreactive.studio import sharing

    monkeypatch.setattr(sharing, "MOST_PEOPLE", 1)
    with serving() as served, guest(served):
        context = browser.new_context()
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        page.goto(served.address())
        page.wait_for_selector("#state >> text=there is no room")
        context.close()


def test_a_damaged_file_is_told(pair: tuple[Any, Any], tmp_path: Path) -> None:
    ada, grace = pair
    (tmp_path / "empty.bin").write_bytes(b"")
    (tmp_path / "clip.bin").write_bytes(bytes(1000))
    send(ada, tmp_path / "empty.bin")
    grace.click("text=Accept")
    grace.wait_for_selector("[data-state=done]")
    ada.wait_for_selector("[data-state=done]")
    # the sender's digest is of something else
    ada.evaluate(
        """async () => { const { Sha256 } = await import("/page/sha256.js");
        Sha256.prototype.hex = () => "0".repeat(64); }"""
    )
    send(ada, tmp_path / "clip.bin")
    grace.click("text=Accept")
    for page in pair:
        page.wait_for_selector("[data-state=failed] >> text=damaged")


def test_declined_cancelled_and_left(pair: tuple[Any, Any], tmp_path: Path) -> None:
    ada, grace = pair
    (tmp_path / "a.bin").write_bytes(bytes(1000))
    send(ada, tmp_path / "a.bin")
    grace.click("text=Decline")
    ada.wait_for_selector("[data-state=declined] >> text=Grace declined")
    send(ada, tmp_path / "a.bin")
    grace.wait_for_selector("text=Accept")
    ada.click("text=Cancel")
    grace.wait_for_selector("[data-state=failed] >> text=the sender cancelled")
    send(ada, tmp_path / "a.bin")
    grace.wait_for_selector("text=Accept")
    grace.close()
    ada.wait_for_selector("[data-state=failed] >> text=the other page was closed")
    ada.wait_for_selector("#alone", state="visible")


def test_a_page_makes_sense_of_what_strangers_say(pair: tuple[Any, Any], open_page: Served) -> None:
    ada, _ = pair
    me = ada.evaluate("sharing.people().find(({ name }) => name === 'Ada').id")
    with guest(open_page) as stranger:
        for signal in (
            {}, {"kind": "ask"}, {"kind": "ask", "transfer": 1, "name": "x", "size": 1},
            {"kind": "ask", "transfer": "a", "name": "x", "size": -1}, {"kind": "accept", "transfer": "a"},
            {"kind": "ask", "transfer": "big", "name": "../../<b>x</b>\u202e\n.arc", "size": 2**40},
            {"kind": "description", "transfer": "big", "description": {"type": "offer", "sdp": "no"}},
        ):  # fmt: skip
            stranger.say(type="signal", to=me, signal=signal)
        card = ada.wait_for_selector("[data-transfer=big][data-state=failed] >> text=larger than 1 GB")
        assert card is not None
        assert ada.text_content("[data-transfer=big] .card-name") == "_.._<b>x<_b>__.arc"
        assert ada.locator("[data-transfer]").count() == 1


def test_axe_finds_nothing_here(pair: tuple[Any, Any], tmp_path: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    ada, grace = pair
    (tmp_path / "a.bin").write_bytes(bytes(1000))
    send(ada, tmp_path / "a.bin")
    grace.wait_for_selector("text=Accept")
    for page in pair:
        found = axe.run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]})
        assert not found.response["violations"]
