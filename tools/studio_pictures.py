"""Take the pictures of docs/studio.md: the page with a song, at three widths, dark and light.

    python tools/studio_pictures.py song.mp3 docs/studio

It needs Chromium and Playwright; `audioreactive studio` has to be installed.
"""

from __future__ import annotations

import argparse
import io
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from PIL import Image

PATIENCE = 3_600_000
"""Milliseconds for which the page is waited for."""
LONGEST_SIDE = 1280
QUALITY = 82


def take(page: Any, path: Path) -> None:
    """Write a picture of a page as a JPEG file."""
    page.wait_for_timeout(2000)  # the frame at rest is painted in full quality
    with Image.open(io.BytesIO(page.screenshot())) as picture:
        small = picture.convert("RGB")
        small.thumbnail((LONGEST_SIDE, LONGEST_SIDE), Image.Resampling.LANCZOS)
        small.save(path, quality=QUALITY, optimize=True)
    print(path)


def opened(browser: Any, address: str, width: int, height: int) -> Any:
    """Open the page, which takes over from the one before."""
    page = browser.new_context(viewport={"width": width, "height": height}, bypass_csp=True).new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.wait_for_function("window.studio?.picture.drawn > 0")
    page.wait_for_function("studio.tiles.every((tile) => tile.drawn > 0)")
    page.click("[data-key=block1]")
    page.wait_for_function("studio.section === 1 && studio.tiles.every((tile) => tile.firstFrame !== null)")
    page.evaluate("studio.seek(studio.place.start + 0.4 * (studio.place.end - studio.place.start))")
    return page


def pictures(browser: Any, address: str, folder: Path) -> None:
    """Take all pictures."""
    page = browser.new_context(viewport={"width": 1440, "height": 900}, bypass_csp=True).new_page()
    page.set_default_timeout(PATIENCE)
    page.goto(address)
    page.wait_for_selector(".song-item")
    take(page, folder / "songs.jpg")
    page.click(".song-item")
    page.wait_for_function("window.studio?.picture.drawn > 0")
    page.context.close()
    page = opened(browser, address, 1440, 900)
    page.click("#tab-desk")
    page.wait_for_function("studio.envelopes.size > 0")
    page.hover(".strip >> nth=0")
    take(page, folder / "desk.jpg")
    page.click("#tab-palette")
    page.wait_for_function(
        "[...document.querySelectorAll('#panel-palette .swatch-cell')].every((c) => c.querySelector('img'))"
    )
    take(page, folder / "palette.jpg")
    page.context.close()
    page = opened(browser, address, 1024, 768)
    page.click("#theme")
    take(page, folder / "light.jpg")
    page.context.close()
    page = opened(browser, address, 390, 844)
    take(page, folder / "phone.jpg")
    page.context.close()


def main() -> None:
    """Run the studio in a folder with the song alone, and take the pictures."""
    from playwright.sync_api import sync_playwright

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("song", type=Path)
    parser.add_argument("folder", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        music = Path(folder) / "Music"
        music.mkdir()
        shutil.copy(options.song, music)
        command = [sys.executable, "-m", "audioreactive", "studio", "--folder", str(music), "--no-browser", "-q"]
        studio = subprocess.Popen(command, stdout=subprocess.PIPE, encoding="utf-8")
        assert studio.stdout is not None
        address = studio.stdout.readline().strip()
        try:
            with sync_playwright() as playwright:
                browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=["--no-sandbox"])
                pictures(browser, address, options.folder)
                browser.close()
        finally:
            studio.terminate()
            studio.wait()


if __name__ == "__main__":
    main()
