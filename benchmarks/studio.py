"""How quickly the studio's page answers: first pictures, sliders, a loop without gaps, and sound against picture.

    python benchmarks/studio.py [SONG] [--model stylegan2] [--seconds 60]

It needs Chromium and Playwright. Without a song, one with a click twice a second is made. The figures hold for a
machine that does nothing else; the load is printed beside them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

FPS = 24
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


def click_song(path: Path, seconds: float = 40) -> Path:
    """Write a song with a click at every half second and two kinds of part."""
    import soundfile

    rate = 44_100
    times = np.arange(round(seconds * rate)) / rate
    chord = 0.06 * np.sin(2 * np.pi * np.where(times % 20 < 10, 220, 330) * times)
    sound = chord + 0.8 * np.exp(-(times % 0.5) * 900) * (times % 0.5 < 0.01)
    soundfile.write(path, sound.astype(np.float32), rate)
    return path


def measure(page: Any, seconds: float) -> dict[str, Any]:
    """Measure everything in an open page."""

    def wait(condition: str) -> None:
        page.wait_for_function(condition, timeout=120_000)

    sections = page.evaluate("studio.state.sections.length")
    firsts, sliders = [], []
    for index in [*range(1, sections), 0]:
        page.evaluate("studio.reroll = () => {}")
        page.click(f"[data-key=block{index}]")
        wait(f"studio.picture.clip?.section === {index} && studio.picture.firstFrame !== null")
        firsts.append(page.evaluate("studio.picture.firstFrame"))
        page.wait_for_timeout(1500)
    for value in np.linspace(0.4, 1.6, 15):
        number = page.evaluate("studio.picture.clip.clip")
        page.evaluate(
            f"studio.attempt({{kind: 'set', section: studio.section, path: 'noise.strength', value: {value:.3f}}})"
        )
        wait(f"studio.picture.clip?.still && studio.picture.clip.clip !== {number} && studio.picture.blobs.size > 0")
        sliders.append(page.evaluate("studio.picture.firstFrame"))
        page.wait_for_timeout(200)
    page.evaluate("studio.show()")
    wait("studio.picture.clip && !studio.picture.clip.still && studio.picture.share > 0.999")
    page.click("#play")
    wait("studio.sound.playing")
    page.wait_for_timeout(1500)
    played = page.evaluate(CLICKS, seconds)
    log = np.array(played["log"])
    apart = log[:, 2] - np.floor(log[:, 1])
    intervals = np.diff(log[:, 0])
    return {
        "first picture, ms": [round(v) for v in firsts],
        "slider to changed frame, median ms": round(statistics.median(sliders)),
        "slider to changed frame, ms": [round(v) for v in sliders],
        "frames drawn": len(log),
        "frames wanted": round(seconds * FPS),
        "longest gap between frames, ms": round(float(intervals.max())),
        "drawn frame against the clock, frames": {int(k): int((apart == k).sum()) for k in np.unique(apart)},
        "clicks heard": len(played["found"]),
        "click against its place, ms, worst": round(1000 * max(map(abs, played["found"]), default=0.0), 2),
        "output latency, ms": round(1000 * played["latency"], 1),
        "size": page.evaluate("[studio.picture.canvas.width, studio.picture.canvas.height]"),
    }


def main() -> None:
    """Run the studio and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("song", nargs="?", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium")
    with tempfile.TemporaryDirectory() as folder:
        song = options.song or click_song(Path(folder) / "clicks.wav")
        command = [sys.executable, "-m", "audioreactive", "studio", str(song), "--no-browser", "-q", "--fps", str(FPS)]
        studio = subprocess.Popen(
            command + (["--model", options.model] if options.model else []), stdout=subprocess.PIPE, encoding="utf-8"
        )
        assert studio.stdout is not None
        address = studio.stdout.readline().strip()
        try:
            with sync_playwright() as playwright:
                arguments = ["--autoplay-policy=no-user-gesture-required", "--no-sandbox"]
                browser = playwright.chromium.launch(executable_path=chromium, args=arguments)
                page = browser.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=True).new_page()
                page.goto(address, timeout=180_000)
                page.wait_for_function("window.studio?.picture.drawn > 0", timeout=180_000)
                found = measure(page, options.seconds)
                browser.close()
        finally:
            studio.terminate()
            studio.wait()
    print(f"load of the machine: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    for name, value in found.items():
        print(f"{name:42} {value}")


if __name__ == "__main__":
    main()
