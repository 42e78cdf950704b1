"""The first minutes on a machine with an NVIDIA GPU: everything that has to be run there, what matters most first.

    python benchmarks/gpu.py [--json FILE] [--only build,check,tests,...] [--scale 1.0]

The steps, in this order, each with a time limit of its own (`--scale` multiplies all of them):

    build       seconds to compile the kernels, through NVRTC and through nvcc
    check       every compiled operation against its reference, on this GPU
    tests       the tests with the marker `cuda`, without those that make the recording of a CUDA graph fail
    spoiling    those alone
    layers      every layer against its bound, with the algorithms that cuDNN's rules name
    race        the same with those that win cuDNN's race
    profile     the kernels of a replayed batch at 1024²
    generator   1024², 8 pictures at once, float16: plain formulation, reference, kernels, CUDA graph
    stylegan3   T and R at 256² and 1024², float32 and float16: plain PyTorch, kernel, CUDA graph; memory
    pipeline    a whole render, beside the generator alone and the encoder alone
    painter     every family at 1080p: speed, and whether it is the right picture
    encoders    x264 and NVENC, several at once
    default     the command with nothing but a song
    training    some steps of each stage of the training plan

Results go to benchmarks/results/, under the GPU's name, when a step ends: a run that is cut off is worth what it did. A
step that fails, or takes too long, does not stop the others; its last lines are kept. Results of an earlier run on the
same machine stay until their step is run again. The last lines say for each goal: met, missed, not run. The exit code
is 1 if a step failed.

It installs nothing. To carry to a machine without a network: wheels of PyTorch's CUDA build with all that it depends on
(NVRTC is among them), of this program's dependencies, and pytest, pytest-xdist and hypothesis for the tests; from a
checkout, which needs no installation. `--wheels` prints the command that fetches them. A CUDA toolkit is not needed.

--device cpu --tiny goes the same way on a CPU with small sizes, in under three minutes.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import re
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

HERE = Path(__file__).parent
ROOT = HERE.parent
WHEELS = "pip download --dest wheels '.[test]'"
"""On Linux that fetches PyTorch's build for GPUs."""

Result = dict[str, Any]


class StepError(Exception):
    """A step failed: the last lines of what it said."""


@dataclass(frozen=True)
class Run:
    """Sizes of a run, and the time limits."""

    device: str
    tiny: bool
    folder: Path
    scale: float

    @property
    def resolution(self) -> int:
        """Resolution of the network."""
        return 8 if self.tiny else 1024

    @property
    def batch(self) -> int:
        """Pictures that are computed at once."""
        return 2 if self.tiny else 8

    @property
    def dtype(self) -> str:
        """Precision of the network."""
        return "float16" if self.device == "cuda" else "float32"

    def script(self, name: str, *options: object, seconds: float) -> Result:
        """Run a script of this folder, and return the JSON that it wrote; also if it was stopped."""
        path = self.folder / f"{name}.json"
        path.unlink(missing_ok=True)
        try:
            self.command(sys.executable, HERE / f"{name}.py", *options, "--json", path, seconds=seconds)
        except StepError as error:
            if not path.exists():
                raise
            return {**json.loads(path.read_text("utf-8")), "error": str(error)}
        found: Result = json.loads(path.read_text("utf-8"))
        return found

    def command(self, *command: object, seconds: float) -> str:
        """What a command printed, which is shown too; it is killed with its children when its time is over."""
        return run([str(word) for word in command], seconds * self.scale)


def run(command: Sequence[str], seconds: float) -> str:
    """What a command printed.

    Raises:
        StepError: it failed, or took longer.
    """
    print("$", *command, flush=True)
    # This checkout's packages, wherever the command runs.
    settings = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    process = subprocess.Popen(
        command, cwd=ROOT, env=settings, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        encoding="utf-8", errors="replace", start_new_session=True,
    )  # fmt: skip
    lines: list[str] = []

    def show() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            print("  " + line, end="", flush=True)
            lines.append(line)

    reader = threading.Thread(target=show, daemon=True)
    reader.start()
    late = False
    try:
        process.wait(seconds)
    except subprocess.TimeoutExpired:
        late = True
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # its children too
        process.wait()
        reader.join(5)
        if not reader.is_alive() and process.stdout is not None:
            process.stdout.close()
    if late:
        raise StepError("".join([*lines[-30:], f"stopped after {seconds:g} s"]))
    if process.returncode:
        raise StepError("".join(lines[-30:]) or f"exit code {process.returncode}")
    return "".join(lines)


def build(run: Run) -> Result:
    """Seconds to compile the kernels for this GPU."""
    major, minor = torch.cuda.get_device_capability() if run.device == "cuda" else (9, 0)
    few = ["--families", "ink"] if run.tiny else []
    return run.script("build_time", "--capability", 10 * major + minor, *few, seconds=240)


def check(run: Run) -> Result:
    """Every compiled operation against its reference."""
    if run.tiny:  # the families of the painter take half a minute to compile
        code = "import torch, stylegan_ops.selfcheck as s; print(*s.check_all(torch.device('cpu')), sep='\\n')"
        output = run.command(sys.executable, "-c", code, seconds=60)
        return {"checked": output.count("Outcome("), "wrong": output.count("Outcome(") - output.count("reason=None")}
    try:
        output = run.command(sys.executable, "-m", "audioreactive", "doctor", "--check", seconds=240)
    except StepError as error:
        output = str(error)
    found = re.search(r"(\d+) compiled ops were compared with plain PyTorch; (\d+)", output)
    if found is None:
        raise StepError(output)
    return {
        "checked": int(found[1]),
        "wrong": int(found[2]),
        "lines": [line for line in output.splitlines() if "WRONG" in line],
    }


def tests(run: Run) -> Result:
    """Tests that need a GPU; on a CPU, some of those that emulate one."""
    if run.device == "cpu":
        return _pytest(run, ["-k", "emulation and refuse"], seconds=120)
    return _pytest(run, ["-m", "cuda and not spoiling"], seconds=300)


def spoiling(run: Run) -> Result:
    """Tests that make the recording of a CUDA graph fail, each in a process of its own."""
    if run.device == "cpu":
        return _pytest(run, ["-k", "recording_that_fails"], seconds=120)
    return _pytest(run, ["-m", "cuda and spoiling"], seconds=180)


def _pytest(run: Run, which: Sequence[str], *, seconds: float) -> Result:
    where = ["tests/stylegan_ops", "tests/test_renderer.py", "tests/generators/test_painter_cuda.py"]
    if run.device == "cpu":
        where = ["tests/stylegan_ops/test_cuda_ops.py", "tests/stylegan_ops/test_graphs.py"]
    options = ["-p", "no:cacheprovider", "-p", "no:benchmark", "-n", "1", "-rA", *which]
    output = run.command(sys.executable, "-m", "pytest", *options, *where, seconds=seconds)
    passed = len(re.findall(r"^PASSED ", output, re.MULTILINE))
    skipped = len(re.findall(r"^SKIPPED ", output, re.MULTILINE))
    if not passed or (skipped and run.device == "cuda"):
        raise StepError(f"{passed} tests passed and {skipped} were skipped: {output[-2000:]}")
    return {"passed": passed}


def layers(run: Run) -> Result:
    """Every layer against its bound, cuDNN's rules."""
    return _layers(run)


def race(run: Run) -> Result:
    """Every layer against its bound, cuDNN's race."""
    return _layers(run, "--race")


def _layers(run: Run, *options: object) -> Result:
    size = ["--resolution", run.resolution, "--batch", run.batch, "--device", run.device, "--dtype", run.dtype]
    return run.script("layers", *size, *options, seconds=150)


def profile(run: Run) -> Result:
    """The kernels of a replayed batch."""
    size = ["--resolution", run.resolution, "--batch", run.batch, "--device", run.device]
    return run.script("replay_profile", *size, seconds=120)


def generator(run: Run) -> Result:
    """The generator alone in its forms, one precision, one size."""
    forms = ["grouped", "reference", "fast", *(["graph"] if run.device == "cuda" else [])]
    which = ",".join(f"{form}:{run.dtype}" for form in forms)
    size = ["--devices", run.device, "--resolutions", run.resolution, "--batches", run.batch]
    return run.script("generator", *size, "--formulations", which, "--rounds", 1 if run.tiny else 3, seconds=240)


def stylegan3(run: Run) -> Result:
    """StyleGAN3 in its forms, precisions and sizes."""
    tiny = ["--tiny", "--sizes", 16, "--batch", 2, "--rounds", 1] if run.tiny else []
    return run.script("stylegan3_gpu", "--device", run.device, *tiny, seconds=300)


def pipeline(run: Run) -> Result:
    """The whole way to a video, beside the generator alone and the encoder alone."""
    return _pipeline(run, "--encoder", "auto")


def painter(run: Run) -> Result:
    """Every family of the painter: its speed, whether it is the right picture, and whether it is always the same."""
    tiny = ["--size", "32x18", "--batch", 2, "--batches", 2, "--families", "ink"] if run.tiny else []
    return run.script("painter_gpu", "--device", run.device, *tiny, seconds=300)


def encoders(run: Run) -> Result:
    """A whole render with each encoder, and with several at once."""
    found: Result = {"x264": _pipeline(run, "--encoder", "x264", "--encoders", "1,2" if run.tiny else "1,2,4,8")}
    code = "from audioreactive.video.nvenc import why_no_nvenc; print(why_no_nvenc() or 'there')"
    missing = run.command(sys.executable, "-c", code, seconds=60).strip().splitlines()[-1]
    found["nvenc"] = _pipeline(run, "--encoder", "nvenc", "--encoders", "1,2") if missing == "there" else missing
    return found


def _pipeline(run: Run, *options: object) -> Result:
    video = ["--resolution", 1024, "--channel-base", 32768, "--frames", 480, "--rounds", 3]
    if run.tiny:
        video = ["--resolution", 32, "--channel-base", 512, "--frames", 24, "--rounds", 1]
    return run.script("pipeline", "--device", run.device, *video, *options, seconds=240)


def default(run: Run) -> Result:
    """The command with nothing but a song, in a fresh process: start, analysis and kernels counted."""
    short = ["--rounds", 1, "--seconds", 1, "--cases", "256x256"] if run.tiny else []
    return run.script("default_render", "--device", run.device, *short, seconds=300)


def training(run: Run) -> Result:
    """How long the training plan for GPUs takes: some steps of each stage."""
    short = ["--plan", "toy", "--steps", 16] if run.tiny else ["--plan", "gpu"]
    return run.script("training_time", *short, "--device", run.device, seconds=600)


STEPS: dict[str, Callable[[Run], Result]] = {
    step.__name__: step
    for step in (
        build, check, tests, spoiling, layers, race, profile, generator, stylegan3, pipeline, painter, encoders,
        default, training,
    )
}  # fmt: skip

NEEDS = {"tests": ("pytest", "xdist", "hypothesis"), "spoiling": ("pytest", "xdist", "hypothesis")}
"""Packages of steps beyond those of the program."""


@dataclass(frozen=True)
class Goal:
    """Something that is to be seen, and whether it was."""

    goal: str
    step: str
    found: float | None
    """Measured value; None: the step has not run, or not come so far."""
    met: bool | None


def goals(found: Result) -> list[Goal]:
    """All goals, for a GPU of the H200's class; speeds at small sizes are none."""
    if found.get("sizes") == "tiny":
        found = {step: found[step] for step in ("build", "check", "tests", "spoiling") if step in found}
    compilers = {
        row["compiler"].split()[0]: row for row in found.get("build", {}).get("compilers", []) if "compiler" in row
    }
    first_use = compilers.get("NVRTC", {}).get("network", {}).get("seconds")
    rows = [
        row for row in found.get("generator", {}).get("rows", []) if row["resolution"] == 1024 and row["batch"] == 8
    ]
    ours = [row for row in rows if row["formulation"] in ("fast", "graph") and row["dtype"] == "float16"]
    best = max(ours, key=lambda row: row["fps"]) if ours else {}
    alias_free = [
        row["ratio"]
        for row in found.get("stylegan3", {}).get("rows", [])
        if (row["config"], row["resolution"], row["dtype"]) == ("t", 1024, "float16") and row["form"] != "plain"
    ]
    painted = found.get("painter", {}).get("rows", [])
    same = [row["same_in_two_runs"] and row["same_in_batches_of_one"] for row in painted]
    check = found.get("check", {})
    return [
        _goal("NVRTC compiles the network's kernels within 10 s", "build", first_use, most=10),
        _goal("no compiled operation differs from its reference", "check", check.get("wrong"), most=0),
        _goal("the tests that need a GPU pass", "tests", found.get("tests", {}).get("passed"), least=1),
        _goal("those that make recordings fail pass", "spoiling", found.get("spoiling", {}).get("passed"), least=1),
        _goal("1024² in float16: 600 frames a second", "generator", best.get("fps"), least=600),
        _goal("1024² in float16: 1000 frames a second", "generator", best.get("fps"), least=1000),
        _goal("4 times the plain formulation in float16", "generator", best.get("ratio"), least=4),
        _goal("StyleGAN3-T at 1024² in float16: 3 times plain PyTorch", "stylegan3", max(alias_free, default=None),
              least=3),
        _goal("a whole render within 10 % of the slower of generator and encoder", "pipeline",
              found.get("pipeline", {}).get("share_of_slower"), least=0.9),
        _goal("the painter at 1080p, every family: 400 frames a second", "painter",
              min((row["fps"] for row in painted), default=None), least=400),
        _goal("the painter within 0.1 levels of plain PyTorch", "painter",
              max((row["mean_levels"] for row in painted), default=None), most=0.1),
        _goal("the painter's pixels the same in every run and batch", "painter",
              sum(same) / len(same) if same else None, least=1),
    ]  # fmt: skip


def _goal(goal: str, step: str, value: float | None, *, least: float | None = None, most: float | None = None) -> Goal:
    met = None if value is None else (least is None or value >= least) and (most is None or value <= most)
    return Goal(goal, step, value, met)


def facts(device: str, *, tiny: bool) -> Result:
    """What it runs on."""
    return {
        "sizes": "tiny" if tiny else "real",
        "gpu": torch.cuda.get_device_name() if device == "cuda" else None,
        "cpu": platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "torch": torch.__version__,
        "cudnn": torch.backends.cudnn.version(),  # type: ignore[no-untyped-call]
    }


def missing_for(step: str) -> list[str]:
    """Packages that a step needs and that are not installed."""
    return [name for name in NEEDS.get(step, ()) if importlib.util.find_spec(name) is None]


def write(path: Path, found: Result) -> None:
    """Write the results so that a reader sees the old or the new ones, never half of them."""
    found["goals"] = [asdict(goal) for goal in goals(found)]
    aside = path.with_suffix(".partial")
    aside.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    aside.replace(path)


def table(found: Result) -> list[str]:
    """A line for each goal."""
    words = {True: "met", False: "MISSED", None: "not run"}
    return [
        f"{words[goal.met]:<9}{goal.goal}{'' if goal.found is None else f': {goal.found:.3g}'}" for goal in goals(found)
    ]


def leave(number: int, frame: object) -> None:
    """End by an exception, so that the running step is killed."""
    sys.exit(128 + number)


def main() -> int:
    """Run the steps, write what they found."""
    parser = argparse.ArgumentParser(description="Everything that needs an NVIDIA GPU, what matters most first.")
    parser.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    parser.add_argument("--tiny", action="store_true", help="small sizes, to see that all steps run")
    parser.add_argument("--only", default=",".join(STEPS), help="steps, separated by commas")
    parser.add_argument("--scale", type=float, default=1.0, help="factor of all time limits")
    parser.add_argument("--wheels", action="store_true", help="print how to fetch what has to be carried there")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    if options.wheels:
        print(WHEELS)
        return 0
    if options.device == "cuda" and not torch.cuda.is_available():
        parser.error("PyTorch finds no GPU; --device cpu --tiny shows the way without one")
    unknown = set(options.only.split(",")) - set(STEPS)
    if unknown:
        parser.error(f"there is no step {', '.join(sorted(unknown))}; there are {', '.join(STEPS)}")
    signal.signal(signal.SIGTERM, leave)
    found = facts(options.device, tiny=options.tiny)
    name = re.sub(r"\W+", "_", str(found["gpu"] or "cpu").lower())
    path = options.json or HERE / "results" / f"gpu_{name}.json"
    found |= earlier(path, found)
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        whole = Run(options.device, options.tiny, Path(folder), options.scale)
        write(path, found)
        for step in options.only.split(","):
            print(f"== {step}", flush=True)
            try:
                if missing := missing_for(step):
                    raise StepError(f"{', '.join(missing)} would have to be installed")
                start = time.monotonic()
                found[step] = STEPS[step](whole)
                found[step]["seconds"] = round(time.monotonic() - start, 1)
            except (StepError, OSError, ValueError) as error:
                found[step] = {"error": str(error)}
            if "error" in found[step]:
                failed.append(step)
            write(path, found)
    print(*table(found), sep="\n")
    print(f"{path}: {', '.join(failed)} failed" if failed else f"{path}: all steps ended well")
    return 1 if failed else 0


def earlier(path: Path, found: Result) -> Result:
    """Results of an earlier run on the same machine."""
    try:
        kept = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(kept, dict) or {fact: kept.get(fact) for fact in found} != found:
        return {}
    return {step: kept[step] for step in STEPS if step in kept}


if __name__ == "__main__":
    sys.exit(main())
