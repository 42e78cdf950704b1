"""The page in a real browser: the whole way from a song to a video, by mouse, by keys, and as axe sees it."""

from __future__ import annotations

import os
import shutil
import threading
from typing import TYPE_CHECKING, Any

import pytest
from studio_pages import Running, write_song

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

playwright_api = pytest.importorskip("playwright.sync_api", reason="Playwright is not installed")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
"""Debian's: the browser that Playwright brings has no H.264."""
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium here: apt-get install chromium")
PATIENCE = 240_000
"""Milliseconds after which a page is given up; a busy machine takes its time."""


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with playwright_api.sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--autoplay-policy=no-user-gesture-required", "--no-sandbox"]
        )
        yield chromium
        chromium.close()


class Tab:
    """A tab with the studio's page."""

    def __init__(self, browser: Any, running: Running, width: int = 1440, height: int = 900) -> None:
        self.context = browser.new_context(
            viewport={"width": width, "height": height}, bypass_csp=True, accept_downloads=True
        )
        self.page = self.context.new_page()
        self.page.set_default_timeout(PATIENCE)
        self.problems: list[str] = []
        self.page.on("pageerror", lambda error: self.problems.append(str(error)))
        self.page.on("console", lambda m: self.problems.append(m.text) if m.type == "error" else None)
        self.page.goto(running.address)
        self.wait("studio.picture.drawn > 0")

    def wait(self, condition: str) -> None:
        self.page.wait_for_function(f"window.studio?.state && ({condition})")

    def get(self, expression: str) -> Any:
        return self.page.evaluate(expression)

    def does(self, action: Callable[[], object], changes: str = "studio.state.steps") -> Any:
        """Act, wait until a value has changed, and return the new one."""
        before = self.get(f"JSON.stringify({changes})")
        action()
        self.page.wait_for_function("(before) => JSON.stringify(" + changes + ") !== before", arg=before)
        return self.get(changes)

    def close(self) -> None:
        self.context.close()
        assert not self.problems


@pytest.fixture
def tab(browser: Any, running: Running) -> Iterator[Tab]:
    tab = Tab(browser, running)
    yield tab
    tab.close()


def test_the_whole_way_by_mouse(browser: Any, run_studio: Callable[..., Running], tmp_path: Path) -> None:
    from audioreactive import render

    running = run_studio(write_song(tmp_path / "song.wav"))
    tab = Tab(browser, running)
    page = tab.page
    # the song, and one clock for sound and picture
    page.click("#play")
    tab.wait("studio.sound.playing && studio.sound.now() > 0.2 && studio.picture.drawn > 2")
    page.click("#play")
    assert not tab.get("studio.sound.playing")
    # sections
    tab.does(lambda: page.fill("#count", "3") or page.press("#count", "Enter"))
    assert tab.get("studio.state.sections.length") == 3
    page.click("[data-key=block1]")
    tab.wait("studio.section === 1 && studio.picture.clip?.section === 1")
    box = page.locator("[data-key=border1]").bounding_box()
    y = box["y"] + box["height"] / 2

    def drag() -> None:
        page.mouse.move(box["x"] + box["width"] / 2, y)
        page.mouse.down()
        page.mouse.move(box["x"] + 60, y, steps=4)
        page.mouse.up()

    start = tab.does(drag, "studio.state.sections[1].start")
    assert min(abs(start - bar) for bar in tab.get("studio.song.bars")) < 0.002, "it snaps to bars"
    page.fill("#section-name", "bridge")
    tab.does(lambda: page.press("#section-name", "Enter"))
    assert tab.get("studio.state.sections[1].name") == "bridge"
    tab.get(f"studio.seek({start} + 1.3)")
    assert len(tab.does(lambda: page.click("#split"), "studio.state.sections")) == 4
    assert tab.get("studio.state.sections[1].label === studio.state.sections[2].label")
    assert "Unlink" in page.inner_text("#link")
    tab.does(lambda: page.click("#link"))
    assert tab.get("studio.state.sections[1].label !== studio.state.sections[2].label")
    tab.does(lambda: page.click("[data-key=block1]") or page.click("#merge"))
    assert tab.get("studio.state.sections.length") == 3
    # proposals and locks
    tab.wait("studio.tiles.every((tile) => tile.drawn > 0)")
    before = tab.get("studio.patch")
    seed = tab.get("studio.seeds[1]")
    tab.does(lambda: page.click("[data-tile='1']"))
    assert tab.get("studio.patch.noise.seeds") != before["noise"]["seeds"]
    assert tab.get("studio.state.undo") == f"proposal {seed}"
    palette = tab.get("studio.patch.palette")
    page.click(".chip:has(input[value=palette])")
    tab.does(lambda: page.click("#reroll"), "studio.seeds")
    latents = tab.get("studio.patch.latents")
    tab.does(lambda: page.keyboard.press("3"))
    assert tab.get("studio.patch.palette") == palette and tab.get("studio.patch.latents") != latents
    # every slider: the frame follows while it moves, the document when it is let go
    for index in range(page.locator("#panel-shape input[type=range]").count()):
        slider = page.locator("#panel-shape input[type=range]").nth(index)
        if slider.is_disabled():
            continue
        label = slider.evaluate("(input) => input.closest('label').innerText.split('\\n')[0]")
        slider.scroll_into_view_if_needed()
        at = slider.bounding_box()
        middle = at["y"] + at["height"] / 2
        page.mouse.move(at["x"] + at["width"] * 0.5, middle)
        page.mouse.down()
        page.mouse.move(at["x"] + at["width"] * 0.63, middle)
        tab.wait("studio.picture.clip?.still && studio.picture.blobs.size > 0")
        steps = tab.get("studio.state.steps")
        tab.does(page.mouse.up)
        assert tab.get("studio.state.steps") == steps + 1, label
    tab.does(lambda: page.click("[data-key=anew-fine]"))
    assert len(tab.get("studio.patch.palette.fine")) == 24
    # the desk: why the picture moves
    page.click("#tab-desk")
    page.hover(".strip >> nth=0")
    tab.wait("studio.timeline.overlay?.curve.length > 0")
    tab.does(lambda: page.click("[data-key='latents.0on']"))
    assert tab.get("studio.patch.latents.sequences[0].muted") is True
    clip = tab.get("studio.picture.clip.key")
    page.click("[data-key='latents.1s']")
    tab.wait(f"studio.picture.clip.key !== {clip!r}")
    page.click("[data-key='latents.1s']")
    # takes, A and B
    page.click("#tab-takes")
    page.fill("[data-key=take-name]", "loud")
    tab.does(lambda: page.press("[data-key=take-name]", "Enter"))
    tab.does(lambda: page.keyboard.press("Escape") or page.click("#reroll"), "studio.seeds")
    page.locator("h2").first.click()
    tab.does(lambda: page.keyboard.press("1"))
    page.click("#compare")
    tab.wait("studio.comparing && studio.beside.drawn > 0")
    assert page.inner_text("#badge") == "B · loud"
    page.click("#compare")
    # a video, in the page and as a file; its frames are those of the command line
    page.click("#tab-render")
    page.check("input[name=draft]")
    page.uncheck("input[value=wide]")
    page.fill("input[name=other]", "480x270")
    page.select_option("select[name=part]", "section")
    page.click("#panel-render .primary")
    tab.wait("studio.jobs.length === 1 && studio.jobs[0].state === 'done'")
    page.wait_for_function("document.querySelector('.job video').readyState > 0")
    with page.expect_download() as download:
        page.click(".job a.button")
    download.value.save_as(tmp_path / "downloaded.mp4")
    place = tab.get("studio.place")
    tab.wait("document.querySelector('#saved').textContent === 'saved'")
    render(
        running.song,
        tmp_path / download.value.suggested_filename,
        preset=running.studio.path,
        draft=True,
        size="480x270",
        fps=24,
        start=f"{place['start']:.3f}",
        duration=f"{place['end'] - place['start']:.3f}",
        overwrite=True,
    )
    made = (tmp_path / download.value.suggested_filename).read_bytes()
    assert made == (tmp_path / "downloaded.mp4").read_bytes()
    # undo, over a restart
    state = tab.get("studio.state")
    tab.close()
    running.stop()
    again = run_studio(running.song)
    tab = Tab(browser, again)
    assert tab.get("studio.state") == state
    while tab.get("studio.state.undo"):
        tab.does(lambda: tab.page.keyboard.press("Control+z"))
    assert tab.get("studio.state.steps") == 0 and tab.get("studio.state.sections.length") >= 1
    tab.does(lambda: tab.page.keyboard.press("Control+Shift+z"))
    assert tab.get("studio.state.sections.length") == 3
    tab.close()
    again.stop()


def test_the_same_by_keys_alone(tab: Tab) -> None:
    page = tab.page

    def reach(selector: str) -> None:
        """Press Tab until an element has the focus."""
        for _ in range(260):
            if tab.get(f"document.activeElement.matches({selector!r})"):
                return
            page.keyboard.press("Tab")
        raise AssertionError(f"{selector} is not reached by Tab")

    page.keyboard.press("Space")
    tab.wait("studio.sound.playing && studio.sound.now() > 0.1")
    page.keyboard.press("k")
    assert not tab.get("studio.sound.playing")
    bar = tab.get("studio.timeline.nextBar(studio.sound.now(), 1)")
    page.keyboard.press("l")
    assert tab.get("studio.sound.now()") == pytest.approx(bar, abs=1e-6)
    page.keyboard.press("ArrowRight")
    assert tab.get("studio.sound.now()") == pytest.approx(bar + 1 / 24, abs=2e-3)
    tab.get("studio.seek(6.1)")
    tab.does(lambda: page.keyboard.press("s"))
    count = tab.get("studio.state.sections.length")
    reach("[role=slider].border")
    tab.does(lambda: page.keyboard.press("ArrowRight"), "studio.state.sections.map((s) => s.start)")
    assert tab.get("document.activeElement.matches('.border')"), "the focus stays"
    tab.wait("studio.tiles.every((tile) => tile.clip)")
    tab.does(lambda: page.keyboard.press("2"))
    tab.does(lambda: page.keyboard.press("r"), "studio.seeds")
    reach("#tab-shape")
    page.keyboard.press("Tab")
    reach("#panel-shape input[type=range]")
    tab.does(lambda: page.keyboard.press("ArrowRight"))
    reach("[data-key=anew-middle]")
    tab.does(lambda: page.keyboard.press("Enter"))
    assert tab.get("document.activeElement.dataset.key") == "anew-middle"
    reach("[data-key=block0]")
    page.keyboard.press("Enter")
    tab.wait("studio.section === 0")
    reach("#merge")
    tab.does(lambda: page.keyboard.press("Enter"))
    assert tab.get("studio.state.sections.length") == count - 1
    tab.get("document.activeElement.blur()")
    reach("#tab-shape")
    for name in ("desk", "palette", "takes", "render"):
        page.keyboard.press("ArrowRight")
        assert tab.get("document.activeElement.id") == f"tab-{name}" and page.is_visible(f"#panel-{name}")
    reach("#panel-render .primary")
    page.keyboard.press("Shift+Slash")
    assert page.is_visible("#dialog")
    page.keyboard.press("Escape")
    while tab.get("studio.state.undo"):
        tab.does(lambda: page.keyboard.press("Control+z"))


@pytest.mark.parametrize(("width", "height", "theme"), [(1440, 900, "dark"), (1024, 768, "light"), (390, 844, "dark")])
def test_axe_finds_nothing(browser: Any, running: Running, width: int, height: int, theme: str) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    tab = Tab(browser, running, width, height)
    if theme == "light":
        tab.page.click("#theme")
    options = {"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]}
    found = []
    for name in ("shape", "desk", "palette", "takes", "render"):
        tab.page.click(f"#tab-{name}")
        tab.page.wait_for_function("document.getAnimations().every((one) => one.playState !== 'running')")
        where = None if name == "shape" else f"#panel-{name}"
        for violation in axe.run(tab.page, context=where, options=options).response["violations"]:
            nodes = [node["html"][:160] + " " + node["failureSummary"][:200] for node in violation["nodes"][:2]]
            found.append(f"{name}: {violation['id']}: {nodes}")
    assert tab.get("document.documentElement.scrollWidth") <= width, "nothing stands over"
    tab.close()
    assert not found, "\n".join(dict.fromkeys(found))


def test_the_page_waits_for_a_song_and_lists_others(browser: Any, serve_projects: Any, tmp_path: Path) -> None:
    axe = pytest.importorskip("axe_playwright_python.sync_playwright", reason="axe is not installed").Axe()
    from audioreactive.errors import AudioError
    from audioreactive.studio.projects import Projects

    for name in ("one.wav", "two.wav", "two.studio.toml"):
        (tmp_path / name).write_bytes(b"x")
    seen = threading.Event()

    def make(opening: Any, progress: Any) -> Any:
        with progress.track("listening", 100, "%") as advance:
            advance(42)
            seen.wait(PATIENCE / 1000)
        raise AudioError(f"{opening.song.name} is no sound")

    _, origin = serve_projects(Projects(make, [tmp_path]))
    page = browser.new_context(bypass_csp=True).new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(f"{origin}/?token=secret")
    page.wait_for_selector(".song-item")
    assert [item.inner_text() for item in page.query_selector_all(".lobby h2")] == ["Recent projects", "Songs"]
    assert [item.inner_text() for item in page.query_selector_all(".song-item-name")] == ["two.wav", "one.wav"]
    found = axe.run(page, options={"runOnly": ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]})
    page.keyboard.press("Enter")  # the latest project has the focus
    page.wait_for_function("document.querySelector('#lobby progress')?.value === 0.42")
    assert page.inner_text("#lobby [role=status]") == "Listening to the song, 42 %"
    assert page.inner_text("#lobby h2") == "two.wav"
    seen.set()
    page.wait_for_selector("#lobby .failed")
    assert page.inner_text("#lobby .failed") == "two.wav is no sound"
    assert len(page.query_selector_all(".song-item")) == 2
    page.context.close()
    assert not found.response["violations"], [one["id"] for one in found.response["violations"]]


def test_a_second_page_is_told_and_may_take_over(browser: Any, running: Running, tab: Tab) -> None:
    other = browser.new_context(bypass_csp=True).new_page()
    other.goto(running.address)
    other.wait_for_selector("#dialog[open]", timeout=PATIENCE)
    assert "open in another page" in other.inner_text("#dialog")
    other.click("#dialog button:has-text('Use it here')")
    other.wait_for_function("window.studio?.picture.drawn > 0", timeout=PATIENCE)
    tab.page.wait_for_selector("#dialog[open]", timeout=PATIENCE)
    assert "taken over" in tab.page.inner_text("#dialog")
    other.context.close()
