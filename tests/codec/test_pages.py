"""Pages in a browser: what they draw, and that they play, seek, loop and need nothing else."""

from __future__ import annotations

import base64
import contextlib
import functools
import http.server
import io
import os
import shutil
import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import soundfile
from codec_clips import RATE, moving, tone
from PIL import Image
from sounds import music

import audioreactive as ar
from audioreactive.codec.clip import Clip, Sound
from audioreactive.codec.container import open_archive
from audioreactive.codec.embedding import page as make_page
from audioreactive.codec.packing import PackSettings, pack, read_player
from audioreactive.codec.pages import write_page
from audioreactive.codec.recipe import _frames, opened, pack_recipe

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

playwright_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")
PATIENCE = 60_000
SOFTWARE = ("--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--no-sandbox")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--autoplay-policy=no-user-gesture-required", *SOFTWARE]
        )
        yield chromium
        chromium.close()


class Tab:
    """A page that is loaded, with all that went wrong."""

    def __init__(self, browser: Any, address: str) -> None:
        self.page = browser.new_page(viewport={"width": 640, "height": 400})
        self.page.set_default_timeout(PATIENCE)
        self.problems: list[str] = []
        self.requests: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda m: self.problems.append(m.text) if m.type == "error" else None)
        self.page.on("request", lambda request: self.requests.append(request.url))
        self.page.goto(address)
        self.page.wait_for_function("window.player?.ready || document.documentElement.dataset.failed")
        assert self.get("document.documentElement.dataset.failed") is None

    def get(self, expression: str) -> Any:
        return self.page.evaluate(expression)

    def drawn(self, seconds: float, size: tuple[int, int]) -> np.ndarray:
        """The picture of a moment."""
        address = self.get(
            f"(() => {{ player.renderer.setSize{size}; player.renderer.draw({seconds}); "
            "return player.renderer.canvas.toDataURL(); })()"
        )
        return _picture(address)


def _picture(address: str) -> np.ndarray:
    """The picture (h, w, 3) in a data URL."""
    picture = Image.open(io.BytesIO(base64.b64decode(address.partition(",")[2])))
    return np.asarray(picture.convert("RGB")).astype(int)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "clip.arc"
    from fractions import Fraction

    pack(Clip(moving(9), Fraction(8), Sound(tone(9 / 8), RATE)), path, PackSettings(effort=0.03))
    write_page(open_archive(path), path.with_suffix(".html"))
    return path


@pytest.fixture(scope="module")
def recipe(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pages")
    soundfile.write(folder / "song.flac", music(3.0), 24_576, subtype="PCM_16")
    # A preset with a loop of the noise, and families that grow through each other.
    ar.render(folder / "song.flac", folder / "song.mp4", preset="carousel", size="128x72", fps=8)
    pack_recipe(folder / "song.mp4", folder / "song.arc", song=folder / "song.flac")
    write_page(open_archive(folder / "song.arc"), folder / "song.html")
    return folder / "song.arc"


def test_the_browser_decodes_what_python_decodes(browser: Any, network: Path) -> None:
    tab, player = Tab(browser, network.with_suffix(".html").as_uri()), read_player(open_archive(network))
    assert player.network.layout.knots, "the clip moves"
    for seconds, size in ((0.0, (48, 32)), (0.77, (48, 32)), (0.5, (131, 70))):
        far = np.abs(tab.drawn(seconds, size) - player.picture(seconds, size).astype(int))
        assert far.max() <= 2
    assert not tab.problems


def test_the_browser_paints_what_render_paints(browser: Any, recipe: Path) -> None:
    tab = Tab(browser, recipe.with_suffix(".html").as_uri())
    with opened(open_archive(recipe)) as production:
        frames = _frames(production, [0, 9, 23], lambda count: None)
    for number, frame in zip((0, 9, 23), frames, strict=True):
        far = np.abs(tab.drawn(number / 8, (128, 72)) - frame.astype(int))
        # A browser may measure slopes once for two rows or columns, so that a few values differ more.
        assert far.mean() < 0.22 and np.percentile(far, 99.8) <= 4
    assert not tab.problems


def test_it_plays_in_step_seeks_and_loops(browser: Any, network: Path) -> None:
    tab = Tab(browser, network.with_suffix(".html").as_uri())
    assert tab.get("player.buffer.duration") == pytest.approx(9 / 8, abs=0.01)
    tab.page.click("#play")
    tab.page.wait_for_function("player.playing && player.now > 0.2")
    # The picture's clock is the sound's.
    lag = tab.get("player.context.currentTime - player.began - (player.context.outputLatency || 0) - player.now")
    assert abs(lag % (9 / 8)) < 0.02 or abs(lag % (9 / 8) - 9 / 8) < 0.02
    assert tab.get("(now => player.frame - Math.floor(now * 8))(player.now)") in (0, 1)
    tab.page.wait_for_function("player.context.currentTime - player.began > 9 / 8 + 0.1")
    assert tab.get("player.playing && player.now < 9 / 8"), "it begins again"
    tab.page.keyboard.press("l")
    tab.page.wait_for_function("!player.playing")
    assert tab.get("player.frame") == 8, "it ends on its last frame"
    tab.page.keyboard.press("Home")
    assert tab.get("player.frame") == 0
    tab.page.keyboard.press(".")
    assert tab.get("player.frame") == 1
    tab.get("document.activeElement.blur()")
    tab.page.keyboard.press(" ")
    tab.page.wait_for_function("player.playing")
    tab.page.keyboard.press("k")
    assert not tab.get("player.playing")
    tab.page.fill("#seek", "500")
    assert tab.get("player.now") == pytest.approx(9 / 16, abs=0.01)
    tab.page.click("#full")
    tab.page.wait_for_function("document.fullscreenElement !== null")
    assert not tab.problems


def test_a_gallery_paints_each_preset_at_the_moment_that_is_heard(browser: Any, tmp_path: Path) -> None:
    from audioreactive.codec import gallery_page
    from audioreactive.pipeline.planning import plan_render
    from audioreactive.pipeline.preparing import prepare
    from audioreactive.pipeline.production import RenderSettings
    from audioreactive.pipeline.recipe import Recipe

    soundfile.write(tmp_path / "song.flac", music(2.0), 24_576, subtype="PCM_16")
    names = ["carousel", "tides"]
    made = gallery_page.gallery_page(tmp_path / "song.flac", names, title="All", still=0.5)
    (tmp_path / "all.html").write_bytes(made)
    page = browser.new_page(viewport={"width": 700, "height": 700})
    page.set_default_timeout(PATIENCE)
    problems, requests = [], []
    page.on("pageerror", lambda error: problems.append(str(error)))
    page.on("request", lambda request: requests.append(request.url))
    page.goto((tmp_path / "all.html").as_uri())
    page.wait_for_function("window.gallery?.tiles.every(tile => tile.drawn === 12)")
    for index, name in enumerate(names):
        settings = RenderSettings(fps=gallery_page.FPS, size=(128, 72))
        recipe = Recipe(preset=ar.load_preset(name))
        frame = _frames(prepare(plan_render(tmp_path / "song.flac", tmp_path / "a.mp4", recipe=recipe,
                                            settings=settings)), [12], lambda count: None)[0]  # fmt: skip
        address = page.evaluate(f"""(() => {{ const {{renderer}} = gallery.tiles[{index}]; renderer.most = 4;
            renderer.setSize(128, 72); renderer.draw(0.5); return renderer.canvas.toDataURL(); }})()""")
        far = np.abs(_picture(address) - frame.astype(int))
        assert far.mean() < 0.22 and np.percentile(far, 99.8) <= 4
    assert page.locator("article code").all_inner_texts() == [f"render song.mp3 --preset {name}" for name in names]
    page.click("article:nth-of-type(2) .picture")
    page.wait_for_function("gallery.playing && gallery.now > 0.1 && gallery.tiles[1].drawn > 0")
    page.keyboard.press("k")
    page.wait_for_function("!gallery.playing")
    assert not problems and requests == [(tmp_path / "all.html").as_uri()]
    page.close()


def test_the_gallery_in_the_documents_has_all_presets() -> None:
    import json
    import re
    from pathlib import Path

    from audioreactive.patches.presets import shipped_presets

    data = (Path(__file__).parents[2] / "docs" / "gallery.html").read_bytes()
    assert len(data) < 1_000_000
    about = json.loads(re.search(rb'id="about">(.*?)</script>', data)[1])  # type: ignore[index]
    assert [tile["name"] for tile in about["presets"]] == list(shipped_presets())
    for tile in about["presets"]:
        assert tile["about"] == " ".join(ar.load_preset(tile["name"]).about.split())


def test_it_asks_nothing_of_a_network(browser: Any, network: Path) -> None:
    tab = Tab(browser, network.with_suffix(".html").as_uri())
    tab.page.click("#play")
    assert [url for url in tab.requests if not url.startswith(("data:", "blob:"))] == [
        network.with_suffix(".html").as_uri()
    ]


@contextlib.contextmanager
def served(folder: Path, kind: str) -> Iterator[str]:
    class Handler(http.server.SimpleHTTPRequestHandler):
        def guess_type(self, path: Any) -> str:
            return kind

        def log_message(self, *words: Any) -> None: ...

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=folder)) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_server_may_say_another_encoding(browser: Any, network: Path) -> None:
    with served(network.parent, "text/html; charset=utf-8") as address:
        tab = Tab(browser, f"{address}/clip.html")
        assert tab.get("document.characterSet") == "UTF-8"
        player = read_player(open_archive(network))
        assert np.abs(tab.drawn(0.5, (48, 32)) - player.picture(0.5).astype(int)).max() <= 2
        assert tab.get("player.buffer.duration") == pytest.approx(9 / 8, abs=0.01)
        tab.page.close()


def test_every_byte_comes_back(browser: Any, tmp_path: Path) -> None:
    data = bytes(range(256)) * 3 + b"</script><!--\r\n=\0" + np.random.RandomState(0).bytes(5000) + b"\0" * 100
    script = "window.found = null; embedded('data').then(bytes => { window.found = Array.from(bytes); });"
    made = make_page(title="<&>", about={}, blobs={"data": data}, scripts=("player.js",), loop=False)
    (tmp_path / "a.html").write_bytes(
        made.replace(b"async function start()", script.encode() + b"async function start()")
    )
    page = browser.new_page()
    page.goto((tmp_path / "a.html").as_uri())
    page.wait_for_function("window.found !== null")
    assert bytes(page.evaluate("window.found")) == data and page.title() == "<&>"
    page.close()


def test_a_song_takes_about_a_hundredth_more() -> None:
    song = np.random.RandomState(0).bytes(1 << 20)
    made = make_page(title="a", about={}, blobs={"song": song}, scripts=("player.js",), loop=False)
    assert len(made) < 1.02 * len(song) + 30_000


def test_without_webgl_it_says_so(browser: Any, network: Path) -> None:
    page = browser.new_page()
    page.add_init_script("HTMLCanvasElement.prototype.getContext = () => null")
    page.goto(network.with_suffix(".html").as_uri())
    page.wait_for_function("document.documentElement.dataset.failed", timeout=PATIENCE)
    assert "has no WebGL 2" in page.inner_text("#message")
    page.close()


def test_three_minutes_of_a_recipe_take_little(tmp_path: Path) -> None:
    from codec_clips import still_features

    size = still_features(tmp_path)
    assert size < 220_000  # the characters of a song of four megabytes take 70 000 more
