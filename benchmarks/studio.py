"""What the studio's page promises, measured: each command prints one table.

    python benchmarks/studio.py answers [SONG] [--model stylegan2] [--seconds 300]   pictures, sliders, loop, sound
    python benchmarks/studio.py timeline [SONG] [--minutes 60]    pictures a second while it is scrolled and zoomed
    python benchmarks/studio.py memory [--minutes 60] [--redraws 200]     of page and server over many proposals
    python benchmarks/studio.py kills [--times 20]        what is left after kill -9 during a save
    python benchmarks/studio.py messages [--count 100000] malformed messages
    python benchmarks/studio.py axe                       what axe finds, at three widths, light and dark

All but `kills` and `messages` need Chromium and Playwright; `axe` needs axe-playwright-python. Without a song, one with
a click twice a second is made. Times hold for a machine that does nothing else; the load is printed beside them.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import statistics
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from studio_server import Running, click_song, kills, messages, resident, running
from studio_server import table as print_table

if TYPE_CHECKING:
    from collections.abc import Iterator

FPS = 24
PATIENCE = 3_600_000
"""Milliseconds for which the page is waited for."""
CLICKS = """async (seconds) => {
  const { sound, song } = studio, { context } = sound;
  const tap = new AnalyserNode(context, { fftSize: 4096 });
  sound.gain.connect(tap);
  const samples = new Float32Array(4096), found = [];
  studio.log = [];
  const end = performance.now() + 1000 * seconds;
  while (performance.now() < end) {
    await new Promise(requestAnimationFrame);
    const now = context.currentTime;
    tap.getFloatTimeDomainData(samples);
    let peak = 0, at = -1;
    samples.forEach((value, i) => { if (Math.abs(value) > peak) { peak = Math.abs(value); at = i; } });
    if (peak > 0.3 && at > 200 && at < 3900) {
      const time = now - (4096 - at) / context.sampleRate;
      const played = sound.wrapped(sound.from + (time - sound.begun));
      found.push(played - Math.round(played * 2) / 2);
    }
  }
  return { found, log: studio.log, latency: context.outputLatency || context.baseLatency };
}"""
SCROLLING = """async (seconds) => {
  const { timeline } = studio, box = timeline.track.getBoundingClientRect();
  const stamps = [], work = [], tick = timeline.tick.bind(timeline);
  timeline.tick = (...told) => {
    const begun = performance.now();
    tick(...told);
    work.push(performance.now() - begun);
  };
  const end = performance.now() + 1000 * seconds;
  for (let i = 0; performance.now() < end; i++) {
    stamps.push(await new Promise(requestAnimationFrame));
    const zooms = i % 120 < 60, ahead = i % 240 < 120 ? 1 : -1;
    const wheel = zooms ? { deltaY: -14 * ahead, ctrlKey: true } : { deltaX: 40 * ahead };
    const event = { ...wheel, clientX: box.left + 0.6 * box.width, cancelable: true };
    timeline.track.dispatchEvent(new WheelEvent("wheel", event));
  }
  delete timeline.tick;
  return { stamps, work };
}"""


@contextlib.contextmanager
def opened(studio: Running, width: int = 1440, height: int = 900) -> Iterator[Any]:
    """Open a studio's page in a browser."""
    import shutil

    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        arguments = ["--autoplay-policy=no-user-gesture-required", "--no-sandbox", "--enable-precise-memory-info"]
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=arguments)
        page = browser.new_context(viewport={"width": width, "height": height}, bypass_csp=True).new_page()
        page.set_default_timeout(PATIENCE)
        page.goto(studio.address)
        page.wait_for_function("window.studio?.picture.drawn > 0")
        yield page
        browser.close()


def answers(page: Any, seconds: float) -> dict[str, object]:
    """Measure first pictures, sliders, a loop, and sound against picture."""
    sections = page.evaluate("studio.state.sections.length")
    firsts, sliders = [], []
    for index in [*range(1, sections), 0]:
        page.click(f"[data-key=block{index}]")
        page.wait_for_function(
            f"studio.picture.clip?.section === {index} && studio.picture.firstFrame !== null && studio.picture.drawn"
        )
        firsts.append(page.evaluate("studio.picture.firstFrame"))
        page.wait_for_timeout(1500)
    for value in np.linspace(0.4, 1.6, 15):
        number = page.evaluate("studio.picture.clip.clip")
        page.evaluate(
            f"studio.attempt({{kind: 'set', section: studio.section, path: 'noise.strength', value: {value:.3f}}})"
        )
        page.wait_for_function(
            f"studio.picture.clip?.still && studio.picture.clip.clip !== {number} && studio.picture.blobs.size > 0"
        )
        sliders.append(page.evaluate("studio.picture.firstFrame"))
        page.wait_for_timeout(200)
    page.evaluate("studio.show()")
    page.wait_for_function("studio.picture.clip && !studio.picture.clip.still && studio.picture.share > 0.999")
    page.click("#play")
    page.wait_for_function("studio.sound.playing")
    page.wait_for_timeout(1500)
    played = page.evaluate(CLICKS, seconds)
    log = np.array(played["log"])
    apart = log[:, 2] - np.floor(log[:, 1])
    missing = int((np.diff(log[:, 2]) > 1).sum())
    return {
        "first picture, ms": [round(v) for v in firsts],
        "slider to changed frame, median ms": round(statistics.median(sliders)),
        "slider to changed frame, ms": [round(v) for v in sliders],
        "frames drawn": f"{len(log)} of {round(seconds * FPS)}",
        "gaps in the loop's frames": missing,
        "longest gap between frames, ms": round(float(np.diff(log[:, 0]).max())),
        "drawn frame against the clock, frames": {int(k): int((apart == k).sum()) for k in np.unique(apart)},
        "clicks heard": len(played["found"]),
        "click against its place, ms, worst": round(1000 * max(map(abs, played["found"]), default=0.0), 2),
        "output latency, ms": round(1000 * played["latency"], 1),
        "size": page.evaluate("[studio.picture.canvas.width, studio.picture.canvas.height]"),
    }


def timeline(page: Any, seconds: float) -> dict[str, object]:
    """Scroll and zoom the timeline with every picture of the screen."""
    found = page.evaluate(SCROLLING, seconds)
    intervals, work = np.diff(found["stamps"]), np.array(found["work"])
    return {
        "song, minutes": round(page.evaluate("studio.song.duration") / 60, 1),
        "pictures a second": round(1000 / float(intervals.mean()), 1),
        "interval, ms, median and 99 %": [round(float(v), 1) for v in np.percentile(intervals, (50, 99))],
        "work for a picture, ms, median and 99 %": [round(float(v), 2) for v in np.percentile(work, (50, 99))],
        "pictures that take more than 16.7 ms": int((work > 16.7).sum()),
    }


def memory(page: Any, studio: Running, redraws: int) -> dict[str, object]:
    """Draw proposals again and again; memory of the server, of the page's process and of its scripts, in MB."""
    session = page.context.browser.new_browser_cdp_session()

    def now() -> list[int]:
        told = session.send("SystemInfo.getProcessInfo")["processInfo"]
        pages = sum(resident(int(one["id"])) for one in told if one["type"] == "renderer")
        return [resident(studio.process.pid), pages, round(page.evaluate("performance.memory.usedJSHeapSize") / 1e6)]

    found: dict[str, object] = {"redraws": "server, page, scripts in MB"}
    for count in range(redraws + 1):
        if count % max(redraws // 10, 1) == 0:
            found[str(count)] = now()
        page.evaluate("studio.tiles.forEach((tile) => { tile.firstFrame = null; }); studio.reroll()")
        page.wait_for_function("studio.tiles.every((tile) => tile.firstFrame !== null)")
        if count % 4 == 0:
            before = page.evaluate("studio.state.steps")
            page.keyboard.press("1")
            page.wait_for_function(f"studio.state.steps > {before}")
    return found


def axe(studio: Running) -> dict[str, object]:
    """Count what axe finds in each panel, at three widths, light and dark."""
    from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]

    tags = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"]
    found: dict[str, object] = {}
    for width, height in ((1440, 900), (1024, 768), (390, 844)):
        for theme in ("dark", "light"):
            with opened(studio, width, height) as page:
                page.evaluate(f"document.documentElement.dataset.theme = '{theme}'")
                told = []
                for panel in ("shape", "desk", "palette", "takes", "render"):
                    page.click(f"#tab-{panel}")
                    page.wait_for_timeout(300)
                    response = Axe().run(page, options={"runOnly": tags}).response
                    told += [f"{panel}: {one['id']}" for one in response["violations"]]
                found[f"{width} {theme}"] = told or "none"
    return found


def main() -> None:
    """Measure one thing, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    for name in ("answers", "timeline"):
        one = kinds.add_parser(name)
        one.add_argument("song", nargs="?", type=Path)
        one.add_argument("--model")
        one.add_argument("--seconds", type=float, default=60 if name == "answers" else 20)
        one.add_argument("--minutes", type=float, default=2 / 3 if name == "answers" else 60)
    one = kinds.add_parser("memory")
    one.add_argument("--minutes", type=float, default=60)
    one.add_argument("--redraws", type=int, default=200)
    kinds.add_parser("kills").add_argument("--times", type=int, default=20)
    kinds.add_parser("messages").add_argument("--count", type=int, default=100_000)
    kinds.add_parser("axe")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        asked = getattr(options, "song", None)
        song = asked or click_song(Path(folder) / "clicks.wav", 60 * getattr(options, "minutes", 2 / 3))
        model = getattr(options, "model", None)
        arguments = ["--fps", str(FPS), *(["--model", model] if model else [])]
        if options.kind == "kills":
            found = kills(song, options.times)
        else:
            with running(song, *arguments) as studio:
                if options.kind == "messages":
                    found = messages(studio, options.count)
                elif options.kind == "axe":
                    found = axe(studio)
                else:
                    with opened(studio) as page:
                        if options.kind == "answers":
                            found = answers(page, options.seconds)
                        elif options.kind == "timeline":
                            found = timeline(page, options.seconds)
                        else:
                            found = memory(page, studio, options.redraws)
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    print_table(found)


if __name__ == "__main__":
    main()
