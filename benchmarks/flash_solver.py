"""How long does the flash limiter's solver take, and how good is what it finds?

The programmes are those that the limiter poses: for the flashing videos of its tests, for a render of the demo song in
which two frames of each four are dark, and for a minute or two of random steps. Other solvers take turns with this
one, each a Python file with the same `solve`, such as the one that was here until OSQP took its place:

    git show 8bedb90:audioreactive/flashes/admm.py > admm.py
    python benchmarks/flash_solver.py [--beside admm.py] [--seconds 120] [--json FILE]
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import statistics
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock

import numpy as np
from common import save_small_model

import audioreactive
from audioreactive.flashes import Thumbnails, limiter, measure, plan, programme
from audioreactive.media.demo import DEMO_SONG
from audioreactive.video import probe, read_frames

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from numpy.typing import NDArray

    Array = NDArray[np.float64]
    Calls = list[Sequence[programme.Programme]]

REPEATS = 3


def loaded(path: Path) -> Any:
    """A Python file, whatever the name of its folder."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec and spec.loader
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


videos = loaded(Path(__file__).parents[1] / "tests" / "flashes" / "videos.py")


@dataclass(frozen=True)
class Row:
    """One solver on the programmes of one video."""

    video: str
    solver: str
    programmes: int
    seconds: float
    """Median, of the processor, with all set-up."""
    beyond: float
    """By how much light passes its bound at most."""
    cost: float
    """Value of the objective that the solver minimises."""


def posed(frames: Iterable[NDArray[np.uint8]], size: tuple[int, int], fps: Fraction) -> Calls:
    """The programmes for a video of (n, H, W, 3) frames."""
    calls: Calls = []
    solve = programme.solve

    def noted(programmes: Sequence[programme.Programme]) -> list[Array]:
        calls.append(programmes)
        return solve(programmes)

    with mock.patch.object(limiter, "solve", noted):
        plan(Thumbnails([measure(some) for some in frames], size), fps)
    return calls


def of_tests() -> dict[str, Calls]:
    """Videos of the limiter's tests."""
    cases = [(name, Fraction(24), make) for name, (make, _) in videos.BAD.items()]
    cases += [("in turn", Fraction(30000, 1001), videos.in_turn), ("three in turn", Fraction(24), videos.three_in_turn)]
    cases += [("four unaligned", Fraction(60), videos.four_unaligned)]
    found = {}
    for name, fps, make in cases:
        frames = make(fps)
        found[f"{name}, {fps} fps"] = posed([frames], (frames.shape[2], frames.shape[1]), fps)
    return {name: calls for name, calls in found.items() if calls}  # reds need no programme


def of_a_render(folder: Path) -> Calls:
    """The demo song with a small model, from which every third and fourth frame is dark, as in `flashes.py`."""
    save_small_model(folder / "model.safetensors", img_resolution=64)
    video = folder / "video.mp4"
    audioreactive.render(DEMO_SONG, video, model=folder / "model.safetensors", seed=1, device="cpu")
    shape = probe(video)
    frames = (frame[None] // (1 if i % 4 < 2 else 4) for i, frame in enumerate(read_frames(video)))
    return posed(frames, (shape.width, shape.height), shape.fps)


def of_random_steps(seconds: int) -> Calls:
    """Four quarters of a picture whose light jumps a dozen times a second."""
    random = np.random.RandomState(0)
    light = np.zeros((24 * seconds, 8, 8))
    for row in (slice(0, 4), slice(4, 8)):
        for column in (slice(0, 4), slice(4, 8)):
            steps = np.repeat(random.random_sample(len(light)), random.randint(1, 4, len(light)))
            light[:, row, column] = steps[: len(light), None, None]
    frames = np.repeat(videos.code(light)[..., None], 3, axis=3)
    return posed([frames], (8, 8), Fraction(24))


def beyond(one: programme.Programme, gain: Array) -> float:
    """By how much light passes its bounds with this gain."""
    lit = one.light * gain[:, None]
    over = [np.abs(lit[:-k] - lit[k:]) - bound for k, bound in enumerate(one.bounds, start=1)]
    return max((float(each.max()) for each in over if each.size), default=0.0)


def cost(one: programme.Programme, gain: Array) -> float:
    """What the programme makes least."""
    weight = (one.light**2).mean(axis=1) + 1e-3
    weight /= weight.mean()
    return float((weight * (1 - gain) ** 2).sum() + programme.SMOOTHNESS * (np.diff(gain) ** 2).sum()) / 2


def compared(video: str, calls: Calls, solvers: dict[str, Callable[[Any], list[Array]]]) -> list[Row]:
    """Every solver on these programmes, in turn."""
    seconds: dict[str, list[float]] = {name: [] for name in solvers}
    gains: dict[str, list[list[Array]]] = {}
    for _ in range(REPEATS):
        for name, solve in solvers.items():
            began = time.process_time()
            gains[name] = [solve(programmes) for programmes in calls]
            seconds[name].append(time.process_time() - began)
    rows = []
    for name in solvers:
        pairs = [pair for call, found in zip(calls, gains[name], strict=True) for pair in zip(call, found, strict=True)]
        worst, total = max(beyond(*pair) for pair in pairs), sum(cost(*pair) for pair in pairs)
        rows.append(Row(video, name, len(pairs), statistics.median(seconds[name]), worst, total))
        print(
            " | ".join(
                f"{value:.4g}" if isinstance(value, float) else str(value) for value in asdict(rows[-1]).values()
            )
        )
    return rows


def main() -> None:
    """Measure, print a table, write JSON where asked."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--beside", type=Path, nargs="*", default=[])
    parser.add_argument("--seconds", type=int, default=120, help="of random steps")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    solvers = {"programme": programme.solve, **{path.stem: loaded(path).solve for path in options.beside}}
    videos_posed = of_tests()
    with tempfile.TemporaryDirectory() as name:
        videos_posed["demo song, flashing"] = of_a_render(Path(name))
    videos_posed[f"random steps, {options.seconds} s"] = of_random_steps(options.seconds)
    print("video | solver | programmes | seconds | beyond | cost")
    rows = [row for video, calls in videos_posed.items() for row in compared(video, calls, solvers)]
    for name in solvers:
        own = [row for row in rows if row.solver == name]
        print(f"all | {name} | {sum(row.programmes for row in own)} | {sum(row.seconds for row in own):.4g}")
    if options.json:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
