"""One process that fuzzes one target: started by `python -m fuzz`, told everything by its arguments.

It counts, and keeps findings, by itself; libFuzzer ends it only where Python cannot (a crash, a hang in C).
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import resource
import sys
import time
from pathlib import Path
from random import Random

import atheris

ALARM = 120
"""Seconds on the clock after which an input is a hang."""
ADDRESS_SPACE = 3 << 30
"""Bytes beyond what the process has when it begins; an allocation beyond is a MemoryError, and a finding."""

with atheris.instrument_imports(include=["audioreactive", "stylegan_ops"]):
    from fuzz.judge import Verdict, judge
    from fuzz.mutators import MUTATORS
    from fuzz.targets import CORPUS, TARGETS


class Session:
    """What one process has done; written to a file now and then, because libFuzzer may end it at any time."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.options, self.scratch, self.target = options, options.scratch, TARGETS[options.target]
        self.mutate = MUTATORS[options.target]
        self.counts = {"result": 0, "refusal": 0, "finding": 0}
        self.findings: dict[str, str] = {}
        self.worst_seconds = self.worst_megabytes = 0.0
        self.started, self.written = time.monotonic(), 0.0

    def run(self, data: bytes) -> None:
        """One input."""
        verdict = judge(self.target, data, self.scratch)
        self.counts["finding" if verdict.is_finding else verdict.kind] += 1
        self.worst_seconds = max(self.worst_seconds, verdict.seconds)
        self.worst_megabytes = max(self.worst_megabytes, verdict.megabytes)
        if verdict.is_finding:
            self.keep(verdict, data)
        elapsed, done = time.monotonic() - self.started, sum(self.counts.values())
        over = done >= self.options.runs or elapsed > self.options.seconds
        if over or elapsed - self.written > 1:
            self.write(elapsed)
        if over:
            os._exit(0)  # atheris itself ends its process no other way

    def keep(self, verdict: Verdict, data: bytes) -> None:
        """The first input of every kind of finding."""
        key = f"{verdict.kind}: {verdict.detail}"
        if key not in self.findings and len(self.findings) < 100:
            path = (
                self.options.findings / f"{self.options.target}-{verdict.kind}-{len(self.findings)}-{self.options.seed}"
            )
            path.write_bytes(data)
            self.findings[key] = str(path)

    def write(self, elapsed: float) -> None:
        """What was done, for the process that started this one."""
        self.written = elapsed
        told = {
            **self.counts, "elapsed": elapsed, "worst_seconds": self.worst_seconds,
            "worst_megabytes": self.worst_megabytes, "findings": self.findings,
        }  # fmt: skip
        aside = self.options.report.with_suffix(".part")
        aside.write_text(json.dumps(told), "utf-8")
        aside.replace(self.options.report)


def main() -> None:
    """Fuzz until the runs or the seconds are over."""
    parser = argparse.ArgumentParser()
    parser.add_argument("target", choices=list(TARGETS))
    parser.add_argument("--runs", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--report", type=Path, required=True)
    parser.add_argument("--findings", type=Path, required=True, help="folder in which inputs are kept that are one")
    parser.add_argument("--scratch", type=Path, required=True, help="empty folder for whatever a reader needs")
    options = parser.parse_args()
    session = Session(options)
    # The first reading of each kind imports what it needs; that is no deed of the input's.
    for seed in session.target.corpus():
        _warm_up(session, seed.read_bytes())
    size = int(Path("/proc/self/statm").read_text("utf-8").split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + ADDRESS_SPACE, size + ADDRESS_SPACE))
    session.started = time.monotonic()

    def custom_mutator(data: bytes, max_size: int, seed: int) -> bytes:
        changed = session.mutate(data, Random(seed), lambda part: bytes(atheris.Mutate(part, max_size)))
        return changed[:max_size]

    own = options.scratch / "corpus"  # where new inputs are kept; the repository's corpus is only read
    own.mkdir()
    arguments = [
        sys.argv[0], str(own), str(CORPUS / options.target), f"-seed={options.seed}",
        f"-max_len={session.target.longest}", f"-timeout={ALARM}", "-rss_limit_mb=4096",
        f"-artifact_prefix={options.findings}/{options.target}-", "-verbosity=0", "-reload=0", "-len_control=0",
    ]  # fmt: skip
    words = Path(__file__).parent / f"{options.target}.dict"
    if words.exists():
        arguments.append(f"-dict={words}")
    atheris.Setup(arguments, session.run, custom_mutator=custom_mutator)
    atheris.Fuzz()


def _warm_up(session: Session, data: bytes) -> None:
    from audioreactive.errors import AudioReactiveError
    from stylegan_ops.errors import StyleGANError

    with contextlib.suppress(AudioReactiveError, StyleGANError):
        session.target.read(data, session.scratch)


if __name__ == "__main__":
    main()
