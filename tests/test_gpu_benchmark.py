"""The script for the first minutes on a GPU: whatever cuts it off, what it found so far is there and valid."""

from __future__ import annotations

import importlib
import importlib.util
import json
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import torch
from emulated_graphs import Graph, Recording

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

SCRIPT = Path(__file__).parent.parent / "benchmarks" / "gpu.py"


@pytest.fixture(scope="module")
def gpu() -> ModuleType:
    spec = importlib.util.spec_from_file_location("gpu_benchmark", SCRIPT)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def test_a_silent_step_is_stopped_with_its_children(gpu: ModuleType, tmp_path: Path) -> None:
    """It says nothing, and its child outlives it."""
    number = tmp_path / "number"
    child = f"sleep 600 & echo $! > {number}; echo begun; wait"
    for seconds in (1, 60):  # a busy machine may not have begun within a second
        with pytest.raises(gpu.StepError, match=f"stopped after {seconds} s") as told:
            gpu.run(["sh", "-c", child], seconds)
        if "begun" in str(told.value):
            break
    assert f"begun\nstopped after {seconds} s" in str(told.value)
    deadline = time.monotonic() + 60
    while is_running(int(number.read_text())) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not is_running(int(number.read_text()))


def is_running(number: int) -> bool:
    try:
        return Path(f"/proc/{number}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_step_that_fails_tells_its_last_lines(gpu: ModuleType) -> None:
    with pytest.raises(gpu.StepError, match="too bad"):
        gpu.run(["sh", "-c", "echo too bad; exit 3"], 60)
    assert gpu.run(["echo", "fine"], 60) == "fine\n"


DRIVE = """
import importlib.util, sys, time
spec = importlib.util.spec_from_file_location("gpu_benchmark", sys.argv[1])
gpu = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = gpu
spec.loader.exec_module(gpu)
def build(run): return {"compilers": [{"compiler": "NVRTC 13.0", "network": {"seconds": 4.0}}]}
def check(run): raise gpu.StepError("it broke")
def tests(run): return {"passed": 5}
def layers(run):
    print("now", flush=True)
    return {"output": run.command("sleep", "60", seconds=600)}
gpu.STEPS = {step.__name__: step for step in (build, check, tests, layers)}
sys.argv = ["gpu.py", "--device", "cpu", "--tiny", "--json", sys.argv[2], "--only", sys.argv[3]]
sys.exit(gpu.main())
"""


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_cut_off_is_worth_what_it_did(tmp_path: Path, end: int) -> None:
    path = tmp_path / "found.json"
    command = [sys.executable, "-c", DRIVE, str(SCRIPT), str(path), "build,check,tests,layers"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line == "now\n":
                break
        process.send_signal(end)
        rest = process.stdout.read() if end != signal.SIGKILL else ""
    assert process.returncode != 0 and "all steps" not in rest
    found = json.loads(path.read_text())
    assert found["tests"]["passed"] == 5 and found["check"]["error"] == "it broke" and "layers" not in found
    by_goal: dict[str, Any] = {goal["step"]: goal["met"] for goal in found["goals"]}
    assert by_goal["build"] is True and by_goal["check"] is None and by_goal["generator"] is None


CUT_OFF = """
import importlib.util, itertools, json, os, random, signal, sys, time
from pathlib import Path
spec = importlib.util.spec_from_file_location("gpu_benchmark", sys.argv[1])
gpu = importlib.util.module_from_spec(spec)
sys.modules[spec.name] = gpu
spec.loader.exec_module(gpu)
names = ("one", "two", "three", "four")
path, numbers, write_bytes, replace = Path(sys.argv[2]), itertools.count(), Path.write_bytes, Path.replace
sys.argv = ["gpu.py", "--device", "cpu", "--tiny", "--json", str(path), "--only", ",".join(names)]

def moment():
    if next(numbers) == cut:
        os.write(ready, b".")
        time.sleep(60)

def step(run):
    moment()
    return {"passed": 5}

def write_text(path, text, encoding):
    moment()
    write_bytes(path, text.encode()[: len(text) // 2])
    moment()
    write_bytes(path, text.encode())

def replace_slowly(path, goal):
    moment()
    replace(path, goal)

gpu.STEPS = {name: step for name in names}
for turn, cut in enumerate(random.Random(7).sample(range(3, 3 + 4 * len(names)), 5)):
    path.unlink(missing_ok=True)
    waiting, ready = os.pipe()
    child = os.fork()
    if not child:
        Path.write_text, Path.replace = write_text, replace_slowly
        os.close(waiting)
        gpu.main()
    os.close(ready)
    assert os.read(waiting, 1) == b"."
    os.kill(child, (signal.SIGKILL, signal.SIGTERM)[turn % 2])
    os.waitpid(child, 0)
    found = json.loads(path.read_text())
    row = [cut, [name for name in names if found.get(name, {}).get("passed") == 5], len(found["goals"])]
    print(json.dumps(row), flush=True)  # what is not flushed is written again by each child that is forked
"""


def test_a_run_may_be_cut_off_at_any_moment(tmp_path: Path) -> None:
    """Within a step, half-way through writing what was found, and before that gets its name; five of such moments."""
    command = [sys.executable, "-c", CUT_OFF, str(SCRIPT), str(tmp_path / "found.json")]
    done = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    found = [json.loads(line) for line in done if line.startswith("[")]
    assert len(found) == 5
    for (
        cut,
        steps,
        goals,
    ) in found:  # three moments for the first results, which are of no step, then four for each step
        assert len(steps) == (cut - 3) // 4 and goals == 12


@pytest.fixture
def layers(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(str(SCRIPT.parent))
    return importlib.import_module("layers")


def test_a_layer_s_time_is_that_of_its_kernels(layers: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a GPU many calls are recorded as one graph, because Python starts a small layer slower than it runs."""
    called: list[str] = []

    def cost(measured: Callable[[], object], device: str) -> SimpleNamespace:
        before = len(called)
        measured()
        assert len(called) == before, "Python would start the layer within the measurement"
        return SimpleNamespace(wall=3.0)

    monkeypatch.setattr(layers, "cost", cost)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph", Recording)
    monkeypatch.setattr(Graph, "replays", 0)
    x = torch.zeros(4)
    assert layers.seconds_of(lambda: called.append("layer") or x.add_(1), "cuda") == 3.0 / layers.CALLS
    assert len(called) == 1 + layers.CALLS and Graph.replays > 1
    assert x[0] == 1 + layers.CALLS * (1 + Graph.replays), "all calls are in the graph"


def test_painting_is_measured_where_a_block_paints(layers: ModuleType) -> None:
    rows = layers.table(8, 1, torch.float32, "cpu")
    assert {row.form for row in rows if row.painting_us is None} == {"transposed", "phases"}
    assert [row.layer for row in rows if row.painting_us is not None] == ["b4.conv1", "b8.conv1"]


def test_the_table_says_met_missed_and_not_run(gpu: ModuleType, tmp_path: Path) -> None:
    rows = [
        {"resolution": 1024, "batch": 8, "formulation": "graph", "dtype": "float16", "fps": 700.0, "ratio": 5.0},
        {"resolution": 1024, "batch": 8, "formulation": "grouped", "dtype": "float16", "fps": 9000.0, "ratio": 1.0},
    ]
    alias_free = {"config": "t", "resolution": 1024, "dtype": "float16"}
    relatives = [alias_free | {"form": "plain", "ratio": 1.0}, alias_free | {"form": "compiled", "ratio": 3.5}]
    relatives += [one | {"dtype": "float32", "ratio": 9.0} for one in relatives]
    found = {
        "generator": {"rows": rows},
        "check": {"checked": 9, "wrong": 1},
        "stylegan3": {"rows": relatives},
    }
    lines = gpu.table(found)
    assert "met      1024² in float16: 600 frames a second: 700" in lines
    assert "MISSED   1024² in float16: 1000 frames a second: 700" in lines
    assert "met      StyleGAN3-T at 1024² in float16: 3 times plain PyTorch: 3.5" in lines
    assert "MISSED   no compiled operation differs from its reference: 1" in lines
    assert "not run  the tests that need a GPU pass" in lines
    assert len(lines) == 12
    path = tmp_path / "found.json"
    gpu.write(path, dict(found))
    assert gpu.earlier(path, {}) == found
    path.write_text("[1")
    assert gpu.earlier(path, {}) == {}
    assert all(line.startswith("not run") for line in gpu.table({**found, "sizes": "tiny"}) if "1024²" in line)
