"""A Ray cluster makes the frames that one process makes, though a node dies."""

from __future__ import annotations

import os
import threading
import warnings
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
from crews import FRAMES, make_counting

from audioreactive.chunks import cluster
from audioreactive.chunks.cluster import RayExecutor
from audioreactive.errors import RenderError
from audioreactive.video import read_frames

os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # a busy machine takes longer than 30; read at the import

if TYPE_CHECKING:
    from pathlib import Path

    from audioreactive.chunks.film import Film
    from audioreactive.chunks.scene import Scene


def test_without_ray_there_is_a_sentence(scene: Scene, film: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(RenderError, match=r"pip install 'audioreactive\[cluster\]'"):
        RayExecutor(scene, film.encoding, "auto")


@pytest.mark.filterwarnings("ignore")
def test_without_a_cluster_there_is_a_sentence(
    scene: Scene, film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    from ray._private import services

    # Clusters that ran here, or still do, are none of this test's.
    monkeypatch.setenv("RAY_TMPDIR", str(tmp_path))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.setattr(services, "_find_address_from_flag", lambda flag: set())
    out = replace(film, output=tmp_path / "out.mkv")
    with pytest.raises(RenderError, match="no Ray cluster answers at 'auto'"):
        make_counting(out, RayExecutor(scene, film.encoding, "auto"))


@pytest.mark.filterwarnings("ignore")  # Ray's own
def test_two_nodes_of_which_one_dies(scene: Scene, film: Film, expected: np.ndarray, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray
        from ray.cluster_utils import Cluster

    nodes = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    try:
        second = nodes.add_node(num_cpus=1)
        nodes.wait_for_nodes()
        out = replace(film, output=tmp_path / "out.mkv")
        executor = DeathAfterOne(scene, film.encoding, nodes.address, nodes, second)
        counts = make_counting(out, executor)
        assert sum(counts) == FRAMES
        np.testing.assert_array_equal(np.stack(list(read_frames(out.output))), expected)
        assert executor.killed.is_set()
        assert list(tmp_path.iterdir()) == [out.output]
    finally:
        ray.shutdown()
        nodes.shutdown()


class DeathAfterOne(RayExecutor):
    """Kills a node when the first chunk has come."""

    def __init__(self, scene, encoding, address, nodes, victim) -> None:
        super().__init__(scene, encoding, address)
        object.__setattr__(self, "nodes", nodes)
        object.__setattr__(self, "victim", victim)
        object.__setattr__(self, "killed", threading.Event())

    def make(self, chunks, folder, advance):
        for made in super().make(chunks, folder, advance):
            yield made
            if not self.killed.is_set():
                self.nodes.remove_node(self.victim, allow_graceful=False)
                self.killed.set()
