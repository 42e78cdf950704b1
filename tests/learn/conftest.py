"""Songs to learn from, made up of random features."""

from __future__ import annotations

import pytest
from support import make_song

from audioreactive.learn.training import Material, Plan, gather


@pytest.fixture(scope="session")
def plan() -> Plan:
    return Plan(depth=1, examples=12, batch=4)


@pytest.fixture(scope="session")
def material(plan: Plan) -> Material:
    return gather(plan, [make_song(f"song {seed}", seed=seed) for seed in range(6)], None)
