"""Everything that has to be run on a machine with an NVIDIA GPU, in one go.

    python benchmarks/gpu.py [--json FILE]
                             [--only build,tests,painter,layers,generator,pipeline,encoders,default,training]

Builds the CUDA kernels as a first use would and says how long that takes; runs the tests that need a GPU, a lack of
memory among them; measures every family of the painter; every layer, and names those for which a convolution of our
own may be worth writing; the generator in all its forms; the whole way to a video beside the generator alone and the
encoder alone; NVENC, and several encoders at once; the command with nothing but a song; and how long the training
plan `gpu` would take. At the end it says which of the goals are met. A step that fails does not stop the others: its
last lines are kept with the results. The exit code is 1 if any failed.

Results go to benchmarks/results/, under the GPU's name; steps of an earlier run that are not run again stay there, so
that it can be done in parts. From a checkout, with PyTorch's CUDA build and what the step needs: platformdirs, ninja
and a CUDA toolkit for all, pytest and hypothesis for the tests, the program's other dependencies for what makes videos.

--device cpu --tiny goes the same way on a CPU with small sizes, to see that it is a way.
"""

import argparse
import json
import os
import platform
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
ROOT = HERE.parent

Result = dict[str, Any]


class StepError(Exception):
    """A step failed: the last lines of what it said."""


@dataclass(frozen=True)
class Plan:
    """Sizes."""

    device: str
    tiny: bool
    folder: Path

    @property
    def resolutions(self) -> list[int]:
        """Of the generator alone: channel_base 16384 and 32768."""
        return [8] if self.tiny else [256, 1024]

    @property
    def batches(self) -> str:
        """For the generator alone."""
        return "1,2" if self.tiny else "1,4,8"

    @property
    def video(self) -> list[object]:
        """Options of benchmarks/pipeline.py: the model of a whole video, and how much of it."""
        if self.tiny:
            return ["--resolution", 32, "--channel-base", 512, "--frames", 48, "--rounds", 1]
        return ["--resolution", 1024, "--channel-base", 32768, "--frames", 480, "--rounds", 3]


def run(*command: object, seconds: float, **environment: str) -> str:
    """What a command printed; also shown."""
    words = [str(word) for word in command]
    print("$", *words, flush=True)
    # This checkout's packages, wherever the command runs.
    settings = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"} | environment
    process = subprocess.Popen(
        words,
        cwd=ROOT,
        env=settings,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
    )
    lines = []
    deadline = time.monotonic() + seconds
    assert process.stdout is not None
    for line in process.stdout:
        print("  " + line, end="", flush=True)
        lines.append(line)
        if time.monotonic() > deadline:
            process.kill()
            lines.append(f"stopped after {seconds:g} s")
            break
    if process.wait():
        raise StepError("".join(lines[-30:]))
    return "".join(lines)


def build(plan: Plan) -> Result:
    """The kernels, in an empty cache: what a first use adds; and what runs."""
    path = plan.folder / "first_use.json"
    run(sys.executable, HERE / "first_use.py", "--device", plan.device, "--rounds", 1, "--json", path, seconds=300)
    run(sys.executable, "-m", "audioreactive", "doctor", seconds=300)
    found: Result = json.loads(path.read_text("utf-8"))
    return found


def tests(plan: Plan) -> Result:
    """Those that need a GPU; on a CPU, those that emulate one."""
    which = ["-m", "cuda"] if plan.device == "cuda" else ["-k", "emulation and refuse"]
    where = ["tests/stylegan_ops", "tests/test_renderer.py", "tests/generators/test_painter_cuda.py"]
    output = run(sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider", *which, *where, seconds=1200)
    summary = output.splitlines()[-1]
    passed = re.search(r"(\d+) passed", summary)
    if passed is None or "skipped" in summary:
        raise StepError(f"not all tests ran: {summary}")
    return {"passed": int(passed[1])}


def painter(plan: Plan) -> Result:
    """Every family of the painter: its speed, whether it is the right picture, and whether it is always the same."""
    path = plan.folder / "painter.json"
    tiny = ["--size", "32x18", "--batch", 2, "--batches", 2, "--families", "ink,metal"] if plan.tiny else []
    run(sys.executable, HERE / "painter_gpu.py", "--device", plan.device, *tiny, "--json", path, seconds=900)
    found: Result = json.loads(path.read_text("utf-8"))
    return found


def layers(plan: Plan) -> Result:
    """Every layer: what it costs, and what it would cost at the machine's rates."""
    found: Result = {}
    for resolution in plan.resolutions:
        path = plan.folder / "layers.json"
        dtype = "float16" if plan.device == "cuda" else "float32"
        options = ["--resolution", resolution, "--device", plan.device, "--dtype", dtype, "--json", path]
        run(sys.executable, HERE / "layers.py", *options, "--batch", 2 if plan.tiny else 8, seconds=600)
        found[str(resolution)] = json.loads(path.read_text("utf-8"))
    return found


def generator(plan: Plan) -> Result:
    """The generator alone: plain formulation, reference, kernels, CUDA graph."""
    path = plan.folder / "generator.json"
    sizes = ",".join(map(str, plan.resolutions))
    options = ["--devices", plan.device, "--resolutions", sizes, "--batches", plan.batches, "--json", path]
    rounds = 1 if plan.tiny else 3
    run(sys.executable, HERE / "generator.py", *options, "--rounds", rounds, seconds=1800)
    found: Result = json.loads(path.read_text("utf-8"))
    return found


def pipeline(plan: Plan) -> Result:
    """The whole way to a video, beside the generator alone and the encoder alone."""
    return _pipeline(plan, "--encoder", "auto")


def encoders(plan: Plan) -> Result:
    """The same with each encoder, and so many at once."""
    sys.path.insert(0, str(ROOT))
    from audioreactive.video.nvenc import why_no_nvenc

    found: Result = {"x264": _pipeline(plan, "--encoder", "x264", "--encoders", "1,2" if plan.tiny else "1,2,4,8")}
    missing = why_no_nvenc()
    found["nvenc"] = _pipeline(plan, "--encoder", "nvenc", "--encoders", "1,2,4") if missing is None else missing
    return found


def _pipeline(plan: Plan, *options: object) -> Result:
    path = plan.folder / "pipeline.json"
    run(
        sys.executable, HERE / "pipeline.py", "--device", plan.device, *plan.video, *options, "--json", path,
        seconds=900,
    )  # fmt: skip
    found: Result = json.loads(path.read_text("utf-8"))
    return found


def default(plan: Plan) -> Result:
    """The command with nothing but a song, in a fresh process: start, analysis and kernels counted."""
    path = plan.folder / "default.json"
    short = ["--rounds", 1, "--seconds", 1] if plan.tiny else []
    run(sys.executable, HERE / "default_render.py", "--device", plan.device, *short, "--json", path, seconds=900)
    found: Result = json.loads(path.read_text("utf-8"))
    return found


def training(plan: Plan) -> Result:
    """How long the training plan for GPUs takes: some steps of each stage."""
    path = plan.folder / "training.json"
    which = ["--plan", "toy" if plan.tiny else "gpu", "--device", plan.device]
    run(sys.executable, HERE / "training_time.py", *which, "--json", path, seconds=900)
    found: Result = json.loads(path.read_text("utf-8"))
    return found


STEPS: dict[str, Callable[[Plan], Result]] = {
    "build": build,
    "tests": tests,
    "painter": painter,
    "layers": layers,
    "generator": generator,
    "pipeline": pipeline,
    "encoders": encoders,
    "default": default,
    "training": training,
}


@dataclass(frozen=True)
class Goal:
    """Something that is to be seen, and whether it was."""

    goal: str
    found: float
    met: bool


def goals(found: dict[str, Any]) -> list[Goal]:
    """Those that the steps that ended well have something to say about; for a GPU of the H200's class."""
    seen = []
    if "first_use_s" in found.get("build", {}):
        seconds = found["build"]["first_use_s"]
        seen.append(Goal("a first use adds at most 60 s", seconds, seconds <= 60))
    rows = [
        row
        for row in found.get("generator", {}).get("rows", [])
        if row["resolution"] == 1024 and row["dtype"] == "float16" and row["formulation"] in ("fast", "graph")
    ]
    if rows:
        best = max(rows, key=lambda row: row["fps"])
        seen.append(Goal("1024² in float16: 600 frames a second", best["fps"], best["fps"] >= 600))
        seen.append(Goal("1024² in float16: 1000 frames a second", best["fps"], best["fps"] >= 1000))
        seen.append(Goal("4 times the plain formulation in float16", best["ratio"], best["ratio"] >= 4))
    painted = found.get("painter", {}).get("rows", [])
    if painted:
        slowest = min(row["fps"] for row in painted)
        farthest = max(row["mean_levels"] for row in painted)
        same = sum(row["same_in_two_runs"] and row["same_in_batches_of_one"] for row in painted) / len(painted)
        seen.append(Goal("the painter at 1080p, every family: 400 frames a second", slowest, slowest >= 400))
        seen.append(Goal("the painter within 0.1 levels of plain PyTorch", farthest, farthest < 0.1))
        seen.append(Goal("the painter's pixels the same in every run and batch", same, same == 1))
    if "rates" in found.get("pipeline", {}):
        share = found["pipeline"]["share_of_slower"]
        seen.append(Goal("a whole render within 10 % of the slower of generator and encoder", share, share >= 0.9))
    return seen


def facts(device: str) -> Result:
    """What it ran on."""
    nvcc = shutil.which("nvcc")
    version = subprocess.run([nvcc, "--version"], capture_output=True, encoding="utf-8").stdout if nvcc else "none\n"
    return {
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
        "nvcc": version.strip().splitlines()[-1],
    }


def main() -> int:
    """Run the steps, write what they found."""
    parser = argparse.ArgumentParser(description="Everything that needs an NVIDIA GPU.")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--only", default=",".join(STEPS))
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch finds no GPU; --device cpu --tiny shows the way without one")
    unknown = set(options.only.split(",")) - set(STEPS)
    if unknown:
        parser.error(f"there is no step {', '.join(sorted(unknown))}; there are {', '.join(STEPS)}")
    found = facts(options.device)
    name = re.sub(r"\W+", "_", str(found["gpu"] or "cpu").lower())
    path = options.json or HERE / "results" / f"gpu_{name}.json"
    if path.exists():
        earlier = json.loads(path.read_text("utf-8"))
        if {fact: earlier.get(fact) for fact in found} == found:
            found |= {step: earlier[step] for step in STEPS if step in earlier}
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        plan = Plan(options.device, options.tiny, Path(folder))
        for step in options.only.split(","):
            print(f"== {step}", flush=True)
            try:
                found[step] = STEPS[step](plan)
            except (StepError, OSError, ValueError, ImportError) as error:
                found[step] = {"error": str(error)}
                failed.append(step)
            seen = goals(found)
            found["goals"] = [asdict(goal) for goal in seen]
            path.write_text(json.dumps(found, indent=1) + "\n", "utf-8")  # what is known so far, whatever comes
    for goal in seen:
        print(f"{'met' if goal.met else 'NOT MET':<9}{goal.goal}: {goal.found:.3g}")
    print(f"{path}: {', '.join(failed)} failed" if failed else f"{path}: all steps ended well")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
