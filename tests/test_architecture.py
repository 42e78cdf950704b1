"""Rooms and floors: what may import what, and no circles."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

ROOT = Path(__file__).parent.parent
PROGRAM = "audioreactive"

FLOORS = (
    ("errors",),
    ("progress", "_support"),
    ("media",),
    ("features", "generators"),
    ("video",),
    ("patches",),
    ("rendering", "correlation", "flashes"),
    ("sync",),
    ("chunks", "learn"),
    ("pipeline",),
    ("codec",),
    ("studio",),
    ("live",),
    ("api", "commands"),
)
"""Rooms, the lowest floor first: a room may import what lies below it, and nothing beside it."""

BESIDE: Mapping[tuple[str, str], str] = {}
"""(room, what it imports on its own floor) -> why."""

DOORS = {PROGRAM, f"{PROGRAM}.__main__"}
"""Modules that only lead into the program: the names of its front, and the command line."""


@dataclass(frozen=True)
class Import:
    """One import of one module by another."""

    importer: str
    imported: str
    line: int
    typing_only: bool
    """Under TYPE_CHECKING: it is never run."""
    deferred: bool
    """In a function: it is run when that is called."""

    def __str__(self) -> str:
        return f"{self.importer}:{self.line} imports {self.imported}"


def module_name(path: Path, root: Path) -> str:
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def modules_of(root: Path, package: str) -> dict[str, Path]:
    return {module_name(path, root): path for path in sorted((root / package).rglob("*.py"))}


def imports_of(module: str, path: Path, known: Iterable[str]) -> Iterator[Import]:
    """Every import of the packages at hand, in whatever form it stands."""
    known = set(known)
    package = module if path.name == "__init__.py" else module.rpartition(".")[0]

    def targets(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
            return
        base = node.module or ""
        if node.level:
            above = package.split(".")[: len(package.split(".")) - node.level + 1]
            base = ".".join([*above, *([node.module] if node.module else [])])
        for alias in node.names:
            inner = f"{base}.{alias.name}"
            yield inner if inner in known else base

    def visit(node: ast.AST, typing_only: bool, deferred: bool) -> Iterator[Import]:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for target in sorted(set(targets(node))):
                yield Import(module, target, node.lineno, typing_only, deferred)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                yield from visit(child, True, deferred)
            for child in node.orelse:
                yield from visit(child, typing_only, deferred)
            return
        deferred = deferred or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            yield from visit(child, typing_only, deferred)

    yield from visit(ast.parse(path.read_text("utf-8")), False, False)


def all_imports(root: Path, *packages: str) -> list[Import]:
    modules = {name: path for package in packages for name, path in modules_of(root, package).items()}
    return [found for name, path in modules.items() for found in imports_of(name, path, modules)]


def room(module: str) -> str:
    """The first name below the program."""
    return module.split(".")[1] if "." in module else module


def floor(name: str) -> int:
    for level, rooms in enumerate(FLOORS):
        if name in rooms:
            return level
    raise AssertionError(f"the room {name!r} has no floor: give it one in FLOORS")


def broken_floors(imports: Iterable[Import], beside: Mapping[tuple[str, str], str] = BESIDE) -> list[str]:
    """Imports that lead upwards, or to another room of the same floor."""
    broken = []
    for found in imports:
        if found.importer in DOORS or not found.importer.startswith(f"{PROGRAM}."):
            continue
        if found.imported.split(".")[0] != PROGRAM:
            continue
        if found.imported == PROGRAM:
            broken.append(f"{found}: the front, which leads to every floor")
            continue
        here, there = room(found.importer), room(found.imported)
        if here == there or floor(there) < floor(here) or (here, there) in beside:
            continue
        broken.append(f"{found}: {'upwards' if floor(there) > floor(here) else 'beside'}")
    return broken


def circles(imports: Iterable[Import]) -> list[list[str]]:
    """Groups of modules that import one another as they are imported, each to itself through the others.

    An import of a module runs the packages that it lies in as well, but those are there already when one of their own
    modules asks.
    """
    graph: dict[str, set[str]] = {}
    for found in imports:
        if found.typing_only or found.deferred:
            continue
        graph.setdefault(found.importer, set())
        parts = found.imported.split(".")
        for length in range(1, len(parts) + 1):
            package = ".".join(parts[:length])
            if length == len(parts) or not f"{found.importer}.".startswith(f"{package}."):
                graph[found.importer].add(package)
    return [sorted(group) for group in _components(graph) if len(group) > 1 or group[0] in graph.get(group[0], ())]


def _components(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Strongly connected components, by Tarjan's algorithm."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[list[str]] = []

    def visit(node: str) -> None:
        index[node] = low[node] = len(index)
        stack.append(node)
        for other in sorted(graph.get(node, ())):
            if other not in index:
                visit(other)
                low[node] = min(low[node], low[other])
            elif other in stack:
                low[node] = min(low[node], index[other])
        if low[node] == index[node]:
            at = stack.index(node)
            found.append(stack[at:])
            del stack[at:]

    for node in sorted(graph):
        if node not in index:
            visit(node)
    return found


IMPORTS = all_imports(ROOT, PROGRAM, "stylegan_ops")


def test_every_room_has_a_floor_and_every_floor_its_rooms() -> None:
    there = {room(name) for name in modules_of(ROOT, PROGRAM) if name not in DOORS}
    planned = [name for rooms in FLOORS for name in rooms]
    assert len(planned) == len(set(planned))
    assert there == set(planned)


def test_imports_lead_downwards() -> None:
    broken = broken_floors(IMPORTS)
    assert not broken, "\n".join(broken)


def test_no_exception_outlives_its_reason() -> None:
    used = {(room(one.importer), room(one.imported)) for one in IMPORTS if one.imported.startswith(f"{PROGRAM}.")}
    for (here, there), reason in BESIDE.items():
        assert floor(here) == floor(there) and (here, there) in used and reason


def test_networks_know_nothing_of_sound() -> None:
    broken = [str(one) for one in IMPORTS if one.importer.split(".")[0] == "stylegan_ops" and _is_program(one.imported)]
    assert not broken, "\n".join(broken)


def _is_program(module: str) -> bool:
    return module.split(".")[0] == PROGRAM


def test_no_module_imports_itself_through_others() -> None:
    assert not circles(IMPORTS)


def imports_in(folder: Path, files: Mapping[str, str]) -> list[Import]:
    """Imports of a made-up program."""
    for name, text in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        for package in path.relative_to(folder).parents[:-1]:
            (folder / package / "__init__.py").touch()
        path.write_text(text)
    return all_imports(folder, PROGRAM)


@pytest.mark.parametrize(
    "text",
    [
        "import audioreactive.pipeline",
        "import os, audioreactive.pipeline as p",
        "from audioreactive.pipeline import render",
        "from audioreactive import pipeline",
        "from .. import pipeline",
        "from ..pipeline import render",
        "def f():\n    from audioreactive.pipeline import render",
        "class A:\n    def f(self):\n        import audioreactive.pipeline",
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from audioreactive.pipeline import render",
        "import typing\nif typing.TYPE_CHECKING:\n    from audioreactive.pipeline import render",
        "try:\n    import audioreactive.pipeline\nexcept ImportError:\n    pass",
    ],
)
def test_an_import_upwards_is_found_in_every_form(tmp_path: Path, text: str) -> None:
    made = {"audioreactive/patches/x.py": text, "audioreactive/pipeline.py": "def render(): ..."}
    (broken,) = broken_floors(imports_in(tmp_path, made))
    assert broken.startswith("audioreactive.patches.x:") and broken.endswith("imports audioreactive.pipeline: upwards")


def test_imports_of_neighbours_and_of_the_front_are_found(tmp_path: Path) -> None:
    made = {
        "audioreactive/chunks/x.py": "from audioreactive.learn import y\nimport audioreactive\nfrom . import z",
        "audioreactive/chunks/z.py": "import audioreactive.features.f\nfrom audioreactive import errors",
        "audioreactive/learn/y.py": "import numpy",
        "audioreactive/features/f.py": "",
        "audioreactive/errors.py": "",
    }
    imports = imports_in(tmp_path, made)
    found = [text.partition(" imports ")[2] for text in broken_floors(imports)]
    assert found == ["audioreactive.learn.y: beside", "audioreactive: the front, which leads to every floor"]
    assert len(broken_floors(imports, {("chunks", "learn"): "it says why"})) == 1


def test_circles_are_found_within_a_room_and_through_others(tmp_path: Path) -> None:
    made = {
        "audioreactive/video/a.py": "from audioreactive.video import b",
        "audioreactive/video/b.py": "from .c import value",
        "audioreactive/video/c.py": "import audioreactive.video.a\nvalue = 1",
        "audioreactive/audio.py": "def f():\n    import audioreactive.demo",
        "audioreactive/demo.py": "from audioreactive.audio import f",
        "audioreactive/exact.py": "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import audioreactive.files",
        "audioreactive/files.py": "import audioreactive.exact",
    }
    assert circles(imports_in(tmp_path, made)) == [[f"audioreactive.video.{name}" for name in "abc"]]


def test_a_room_whose_front_imports_it_may_not_be_asked_through_the_front(tmp_path: Path) -> None:
    made = {
        "audioreactive/video/a.py": "from audioreactive.video import reader",
        "audioreactive/video/__init__.py": "from audioreactive.video.a import reader",
    }
    (tmp_path / "audioreactive" / "video").mkdir(parents=True)
    assert circles(imports_in(tmp_path, made)) == [["audioreactive.video", "audioreactive.video.a"]]
