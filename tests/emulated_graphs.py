"""CUDA graphs that the CPU plays: operations are written down while they are recorded, and run again at a replay.

As on a GPU, a replay reads and writes the tensors of the recording and knows nothing of Python in between; operations
that wait for the GPU, or bring values from the computer's memory, cannot be recorded.
"""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING, Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from stylegan_ops import graphs

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

FORBIDDEN = {"aten::_local_scalar_dense", "aten::lift_fresh", "aten::_pin_memory", "aten::nonzero"}


class Recording(TorchDispatchMode):
    """Writes operations down, and runs them."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self._graph = graph

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func._schema.name in FORBIDDEN:
            self._graph.spoilt = True
            raise RuntimeError(f"{func}: operation not permitted when stream is capturing")
        found = func(*args, **(kwargs or {}))
        self._graph.operations.append((func, args, kwargs or {}, found))
        return found


class Launches(TorchDispatchMode):
    """Counts what is started one by one on the GPU: neither within a recording, nor by a replay, nor a mere view."""

    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        view = any(result.alias_info and not result.alias_info.is_write for result in func._schema.returns)
        empty = func._schema.name.startswith(("aten::empty", "aten::new_empty"))
        if not (view or empty or Graph.replaying):
            self.names.append(func._schema.name)
        return func(*args, **(kwargs or {}))


class Graph:
    """Stands for `torch.cuda.CUDAGraph`."""

    replays = 0
    """Of all graphs."""

    replaying = False
    """Whether one is replayed just now."""

    def __init__(self) -> None:
        self.operations: list[tuple[Any, Any, Any, Any]] = []
        self.spoilt = False

    def replay(self) -> None:
        Graph.replays += 1
        Graph.replaying = True
        try:
            self._run()
        finally:
            Graph.replaying = False

    def _run(self) -> None:
        for func, args, kwargs, recorded in self.operations:
            found = func(*args, **kwargs)
            results = func._schema.returns
            owns, news = (values if isinstance(values, tuple | list) else [values] for values in (recorded, found))
            for at, (own, new) in enumerate(zip(owns, news, strict=True)):
                # What is a view, or an argument, is as it should be.
                if isinstance(own, torch.Tensor) and results[min(at, len(results) - 1)].alias_info is None:
                    own.copy_(new)


class Streams:
    """Which stream is current, and what was waited for; as far as a recording uses it."""

    def __init__(self) -> None:
        self.current = "the caller's"
        self.recorded = 0
        self.captures_underway: list[object] = []

    @contextlib.contextmanager
    def stream(self, name: Any) -> Iterator[None]:
        """Stands for `torch.cuda.stream`."""
        before, self.current = self.current, name
        try:
            yield
        finally:
            self.current = before

    @contextlib.contextmanager
    def graph(self, graph: Graph, *, pool: object, stream: Any, capture_error_mode: str) -> Iterator[None]:
        """Stands for `torch.cuda.graph`, which leaves its stream current where recording fails."""
        assert capture_error_mode == "thread_local"
        self.captures_underway.append(pool)
        before, self.current = self.current, stream
        with Recording(graph):
            yield
        self.end(pool)
        self.current = before
        self.recorded += 1

    def end(self, pool: object) -> None:
        """The allocator's end of a recording, to which PyTorch before 2.12 does not come where one fails."""
        self.captures_underway.remove(pool)


class SideStream:
    """Stands for `torch.cuda.Stream`."""

    def __init__(self, device: torch.device) -> None:
        self.device = device

    def wait_stream(self, other: object) -> None:
        """The CPU does one thing after the other."""


def play_graphs(monkeypatch: pytest.MonkeyPatch) -> Streams:
    """Let generators on the CPU be recorded."""
    streams = Streams()
    monkeypatch.setattr(Graph, "replays", 0)
    monkeypatch.setattr(graphs, "_on_gpu", lambda generator: True)
    monkeypatch.setattr(graphs, "_failed", threading.Event())
    monkeypatch.setattr(torch.cuda, "CUDAGraph", Graph)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", object)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 0)
    monkeypatch.setattr(torch._C, "_cuda_endAllocateToPool", lambda index, pool: streams.end(pool), raising=False)
    monkeypatch.setattr(torch.cuda, "Stream", SideStream)
    monkeypatch.setattr(torch.cuda, "stream", streams.stream)
    monkeypatch.setattr(torch.cuda, "graph", streams.graph)
    monkeypatch.setattr(torch.cuda, "current_stream", SideStream)
    monkeypatch.setattr(torch.cuda, "synchronize", lambda device: None)
    return streams
