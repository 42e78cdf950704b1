"""Make the gallery of presets: `python tools/gallery.py` writes docs/gallery.md, a strip of pictures for each, and
docs/gallery.html, a page on which they move; `--page` writes the page alone.

The pictures are four moments of the demo song, a few seconds apart, in the middle of which the song changes.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from PIL import Image

import audioreactive as ar
from audioreactive.codec.gallery_page import gallery_page
from audioreactive.media.demo import DEMO_SONG
from audioreactive.patches.presets import shipped_presets

DOCS = Path(__file__).parents[1] / "docs"
SIZE, FPS = (384, 216), 30
MOMENTS = (5.0, 10.4, 15.9, 21.2)
"""Seconds into the demo song."""
STILL = 15.9
"""The same, for the pictures of the page before the song is played."""
QUALITY = 84
HEAD = """# Gallery of presets

Each preset is a way of moving, and was made with one kind of music in mind; any song may be tried with any of them. The
pictures are four moments of the demo song, painted by the painter's family that the preset asks for; with a StyleGAN
(`--model FILE`), the same preset moves that model instead. On [gallery.html](gallery.html), a page of one file to be
opened in a browser, all of them move to the demo song.

```
render song.mp3 --preset {first}
audioreactive preset show {first}        # its text, and what to watch for
audioreactive sheet song.mp3 --preset all -o sheet.mp4   # all of them, small, on your song
```
"""


def main() -> None:
    """Write the document and the pictures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", metavar="PRESET", action="append", help="presets whose pictures are made anew")
    parser.add_argument("--text", action="store_true", help="write the text alone")
    parser.add_argument("--page", action="store_true", help="write the page alone")
    arguments = parser.parse_args()
    names = list(shipped_presets())
    if not arguments.text:
        (DOCS / "gallery.html").write_bytes(gallery_page(DEMO_SONG, names, title="Gallery of presets", still=STILL))
    if arguments.page:
        return
    folder = DOCS / "gallery"
    folder.mkdir(exist_ok=True)
    if not arguments.text:
        features = ar.analyze_file(DEMO_SONG, fps=FPS)
        generator = ar.load_generator("painter")
        for name in arguments.only or names:
            inputs = ar.motion(ar.load_preset(name), features).on(generator, size=SIZE)
            frames = [round(moment * FPS) for moment in MOMENTS]
            strip = np.concatenate([ar.render_frames(generator, inputs, k, k + 1)[0] for k in frames], 1)
            Image.fromarray(strip).save(folder / f"{name}.jpg", quality=QUALITY, optimize=True)
    (DOCS / "gallery.md").write_text(gallery(names), encoding="utf-8")


def gallery(names: list[str]) -> str:
    """Compose the document."""
    parts = [HEAD.format(first="pulse")]
    for name in names:
        about = " ".join(ar.load_preset(name).about.split())
        parts.append(f"## {name}\n\n{about}\n\n![four moments of the demo song in {name}](gallery/{name}.jpg)\n")
    return "\n".join(parts)


if __name__ == "__main__":
    main()
