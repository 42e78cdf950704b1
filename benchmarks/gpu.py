"""Everything that has to be run on a machine with an NVIDIA GPU, in one go.

    python benchmarks/gpu.py [--json FILE] [--only build,tests,layers,generator,render]

Builds the CUDA kernels as a first use would and says how long that takes; runs the tests that need a GPU; measures
every layer, the generator in all its forms, and the whole way to a video at 1024². A step that fails does not stop the
others: its last lines are kept with the results. The exit code is 1 if any failed. Results go to benchmarks/results/,
under the GPU's name. From a checkout, with PyTorch's CUDA build and what the step needs: platformdirs, ninja and a CUDA
toolkit for all, pytest and hypothesis for the tests, the program's other dependencies for the render.

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
from dataclasses import dataclass
from pathlib import Path

import torch

HERE = Path(__file__).parent
ROOT = HERE.parent

Result = dict[str, object]


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
        return "1,2" if self.tiny else "1,4,8,16,32"


def run(*command: object, seconds: float, **environment: str) -> str:
    """What a command printed; also shown."""
    words = [str(word) for word in command]
    print("$", *words, flush=True)
    # This checkout's packages, wherever the command runs.
    settings = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"} | environment
    process = subprocess.Popen(
        words, cwd=ROOT, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, errors="replace"
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


BUILD = """
import json, sys, time
import torch
start = time.perf_counter()
from stylegan_ops import cuda_kernels, kernels, op_status
found = cuda_kernels.cuda_kernels() if sys.argv[1] == "cuda" else kernels.cpu_kernels()
seconds = time.perf_counter() - start
for status in op_status():
    print(f"{status.op:<22}{status.implementation:<11}{status.reason}")
print(json.dumps({"seconds": seconds, "usable": found.library is not None, "reason": found.reason}))
"""


def build(plan: Plan) -> Result:
    """The kernels, in an empty cache: what a first use adds; and again."""
    results = []
    for _ in range(2):
        output = run(sys.executable, "-c", BUILD, plan.device, seconds=300, XDG_CACHE_HOME=str(plan.folder / "cache"))
        results.append(json.loads(output.splitlines()[-1]))
    first, second = results
    if not first["usable"]:
        raise StepError(first["reason"])
    return {"first_use_s": first["seconds"], "later_use_s": second["seconds"], "reason": second["reason"]}


def tests(plan: Plan) -> Result:
    """Those that need a GPU; on a CPU, those that emulate one."""
    which = ["-m", "cuda"] if plan.device == "cuda" else ["-k", "emulation and refuse"]
    output = run(sys.executable, "-m", "pytest", "-p", "no:cacheprovider", *which, "tests/stylegan_ops", seconds=1200)
    summary = output.splitlines()[-1]
    passed = re.search(r"(\d+) passed", summary)
    if passed is None or "skipped" in summary:
        raise StepError(f"not all tests ran: {summary}")
    return {"passed": int(passed[1])}


def layers(plan: Plan) -> Result:
    """Every layer: what it costs, and what it would cost at the machine's rates."""
    found: Result = {}
    for resolution in plan.resolutions:
        path = plan.folder / "layers.json"
        dtype = "float16" if plan.device == "cuda" else "float32"
        options = ["--resolution", resolution, "--device", plan.device, "--dtype", dtype, "--json", path]
        run(sys.executable, HERE / "layers.py", *options, "--batch", 2 if plan.tiny else 8, seconds=600)
        found[str(resolution)] = json.loads(path.read_text())
    return found


def generator(plan: Plan) -> Result:
    """The generator alone: plain formulation, reference, kernels, CUDA graph."""
    path = plan.folder / "generator.json"
    sizes = ",".join(map(str, plan.resolutions))
    options = ["--devices", plan.device, "--resolutions", sizes, "--batches", plan.batches, "--json", path]
    rounds = 1 if plan.tiny else 3
    run(sys.executable, HERE / "generator.py", *options, "--rounds", rounds, seconds=1800)
    found: Result = json.loads(path.read_text())
    return found


def render(plan: Plan) -> Result:
    """The whole way to a video: with the model of full width, and with one that costs next to nothing.

    The second is what everything but the generator allows, the encoder above all. Start and analysis are left out: a
    long render less a short one.
    """
    sys.path.insert(0, str(ROOT))
    from common import save_small_model

    resolution = 32 if plan.tiny else 1024
    found: Result = {"resolution": resolution}
    for name, base in (("whole", 1024 if plan.tiny else 32768), ("all_but_the_generator", 256)):
        model = plan.folder / f"{name}.safetensors"
        save_small_model(model, img_resolution=resolution, channel_base=base)
        short, long = (_render_seconds(plan, model, seconds) for seconds in ((1, 3) if plan.tiny else (2, 32)))
        frames = 24 * (2 if plan.tiny else 30)
        found[f"{name}_fps"] = frames / (long - short)
        found[f"{name}_start_s"] = short
    return found


def _render_seconds(plan: Plan, model: Path, seconds: int) -> float:
    from audioreactive.demo import DEMO_SONG

    video = plan.folder / "video.mp4"
    command = [sys.executable, "-m", "audioreactive", "render", DEMO_SONG, "-o", video, "--model", model]
    start = time.perf_counter()
    run(*command, "--device", plan.device, "--duration", seconds, "--fps", 24, "--quiet", "--overwrite", seconds=900)
    return time.perf_counter() - start


STEPS: dict[str, Callable[[Plan], Result]] = {
    "build": build,
    "tests": tests,
    "layers": layers,
    "generator": generator,
    "render": render,
}


def facts(device: str) -> Result:
    """What it ran on."""
    nvcc = shutil.which("nvcc")
    version = subprocess.run([nvcc, "--version"], capture_output=True, text=True).stdout if nvcc else "none\n"
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
            path.write_text(json.dumps(found, indent=1) + "\n")  # what is known so far, whatever comes
    print(f"{path}: {', '.join(failed)} failed" if failed else f"{path}: all steps ended well")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
