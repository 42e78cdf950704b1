"""`python -m fuzz`: fuzz readers for a time or a number of inputs, in several processes, and print one table."""

from __future__ import annotations

import argparse
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

from fuzz.targets import TARGETS

SECONDS: Final = 90.0
"""Of a run that names neither runs nor seconds, over all targets."""
STARTS: Final = 20
"""Of one target; each crash of the process costs one."""
START_SECONDS: Final = 120.0
"""That a process may take beyond its time, to begin and to end."""


@dataclass
class Row:
    """What one target has stood."""

    target: str
    runs: int = 0
    results: int = 0
    refusals: int = 0
    busy: float = 0.0
    """Seconds, over all processes, without their start."""
    wall: float = 0.0
    """Seconds of the longest process."""
    worst_seconds: float = 0.0
    worst_megabytes: float = 0.0
    """That one input took."""
    findings: dict[str, str] = field(default_factory=dict)
    """What it is -> the input's file."""

    def add(self, told: dict[str, object]) -> int:
        """Add a process's report; the number of its runs."""
        numbers = {key: float(str(told[key])) for key in told if key != "findings"}
        runs = int(numbers["result"] + numbers["refusal"] + numbers["finding"])
        self.runs += runs
        self.results += int(numbers["result"])
        self.refusals += int(numbers["refusal"])
        self.busy += numbers["elapsed"]
        self.wall = max(self.wall, numbers["elapsed"])
        self.worst_seconds = max(self.worst_seconds, numbers["worst_seconds"])
        self.worst_megabytes = max(self.worst_megabytes, numbers["worst_megabytes"])
        found = told["findings"]
        assert isinstance(found, dict)
        self.findings |= found
        return runs


def main() -> int:
    """0 without findings, 1 with, 2 for a wrong call."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz the readers of strangers' files.")
    parser.add_argument("targets", nargs="*", metavar="TARGET", help=f"of {', '.join(TARGETS)}; default: all")
    parser.add_argument("--runs", type=int, help="inputs of each target")
    parser.add_argument("--seconds", type=float, help=f"of all targets together; default: {SECONDS:.0f}, or no limit")
    parser.add_argument(
        "--jobs", type=int, default=os.cpu_count() or 1, help="processes at once (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--findings", type=Path, default=Path("out/fuzz"), help="folder for inputs that are one")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    names = options.targets or list(TARGETS)
    if unknown := set(names) - set(TARGETS):
        parser.error(f"no such target: {', '.join(sorted(unknown))}; there are {', '.join(TARGETS)}")
    seconds = options.seconds or (SECONDS if options.runs is None else float("inf"))
    options.findings.mkdir(parents=True, exist_ok=True)
    rows = [fuzz(name, options, seconds / len(names)) for name in names]
    print(table(rows))
    if options.json is not None:
        options.json.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n", "utf-8")
    return 1 if any(row.findings for row in rows) else 0


def fuzz(name: str, options: argparse.Namespace, seconds: float) -> Row:
    """One target in several processes, each with its own stream of inputs."""
    row, lock = Row(name), threading.Lock()
    runs = options.runs or sys.maxsize

    def work(number: int) -> None:
        left = runs // options.jobs + (number < runs % options.jobs)
        end = time.monotonic() + seconds
        for start in range(STARTS):
            if left <= 0 or (start and time.monotonic() > end):
                return
            seed = options.seed + 1000 * number + start
            with tempfile.TemporaryDirectory(prefix="tmp-fuzz-") as folder:
                told, crash = _work(
                    name, Path(folder), left, seconds if not start else end - time.monotonic(), seed, options
                )
            with lock:
                left -= row.add(told) if told else 0
                row.findings |= crash
            if not crash:
                return

    threads = [threading.Thread(target=work, args=(number,)) for number in range(options.jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return row


def _work(
    name: str, folder: Path, runs: int, seconds: float, seed: int, options: argparse.Namespace
) -> tuple[dict[str, object] | None, dict[str, str]]:
    """One process to its end: its report, and its crash if it had one."""
    report, scratch = folder / "report.json", folder / "scratch"
    scratch.mkdir()
    seconds = min(seconds, 10**9)
    before = set(options.findings.iterdir())
    command = [
        sys.executable, "-m", "fuzz.worker", name, "--runs", str(runs), "--seconds", str(seconds), "--seed", str(seed),
        "--report", str(report), "--findings", str(options.findings), "--scratch", str(scratch),
    ]  # fmt: skip
    environment = {**os.environ, "TMPDIR": str(folder), "OMP_NUM_THREADS": "1", "PYTHONHASHSEED": "0"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environment, start_new_session=True)
        try:
            code: int | str = process.wait(seconds + START_SECONDS if seconds < 10**9 else None)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            code = "no end"
    told = json.loads(report.read_text("utf-8")) if report.exists() else None
    if code == 0:
        return told, {}
    words = (folder / "log").read_bytes()[-2000:].decode(errors="replace")
    new = sorted(str(path) for path in set(options.findings.iterdir()) - before if path.name.startswith(f"{name}-"))
    kept = next((path for path in new if path.rpartition("/")[2].split("-")[1] in ("crash", "timeout", "oom")), "")
    if not kept:
        print(words, file=sys.stderr)
    return told, {f"the process ended with {code}": kept or "its input is not known"}


def table(rows: list[Row]) -> str:
    """For people."""
    lines = [
        f"{'target':10}{'runs':>9}{'a second':>10}{'results':>9}{'refusals':>10}{'findings':>10}"
        f"{'worst s':>9}{'worst MB':>10}"
    ]
    for row in rows:
        rate = row.runs / row.wall if row.wall else 0.0
        lines.append(
            f"{row.target:10}{row.runs:9}{rate:10.1f}{row.results:9}{row.refusals:10}{len(row.findings):10}"
            f"{row.worst_seconds:9.2f}{row.worst_megabytes:10.0f}"
        )
    for row in rows:
        lines += [f"{row.target}: {what} ({where})" for what, where in row.findings.items()]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
