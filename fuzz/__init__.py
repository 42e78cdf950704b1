"""Coverage-guided fuzzing of every reader that takes a stranger's file.

    pip install '.[fuzz]'
    python -m fuzz                                   every target for a minute and a half in all
    python -m fuzz presets --runs 1000000 --jobs 2
    python -m fuzz models audio --runs 100000 --jobs 2 --json fuzz.json
    python -m fuzz.seeds                             make the corpus again

A target gives bytes to a reader; `judge` holds what comes out to what is promised: a result, or an error of the
project's own whose message is one printable line. Everything else is a finding: another exception, a crash, more time
or memory than the target's bounds, a file written or a program started that is not ffmpeg.

Two targets are not files of strangers but what surrounds a render: `folders` are work folders with whatever may lie in
one, `arguments` are calls of the command line.

Atheris (https://github.com/google/atheris, libFuzzer for Python) chooses inputs by the lines of ours that they reach.
Mutators know the structure of what they change, since no random change gets past a checksum. Inputs that once were
findings are tests, in `tests/hostile`.
"""
