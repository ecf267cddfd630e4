"""What evaluating an occupancy network costs: the truth of its mesh, and rays through its field.

Run with ``pytest tests/benchmarks/test_occupancy_benchmark.py --benchmark-enable``, with
OMP_NUM_THREADS=1. "points" is how often the field was asked; without ``--benchmark-enable`` each
case runs once on a coarse lattice. The field is the distance from a torus with a ripple, which
costs little: a network's predictions at as many points come on top.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from encbench_tasks._occupancy import shapes
from encbench_tasks._occupancy.lattice import Lattice
from encbench_tasks._occupancy.rays import march, views_of
from encbench_tasks._occupancy.truth import truth_of
from pytest_benchmark.fixture import BenchmarkFixture

LOW, HIGH = np.array([0.0, 0.25, 0.0]), np.array([1.0, 0.75, 1.0])


def rippled_torus(x: np.ndarray) -> np.ndarray:
    y = x - 0.5
    ring = np.hypot(np.hypot(y[:, 0], y[:, 2]) - 0.3, y[:, 1])
    ripple: np.ndarray = 0.12 + 0.01 * np.sin(60 * x[:, 0]) - ring
    return ripple


@pytest.fixture(name="enabled")
def is_enabled(request: pytest.FixtureRequest) -> bool:
    return bool(request.config.getoption("benchmark_enable"))


def test_marching_rays(benchmark: BenchmarkFixture, enabled: bool) -> None:
    """Three views of a surface, of as many pixels as the task's."""
    cells, side = (128, 192) if enabled else (32, 48)
    asked = 0

    def field(x: np.ndarray) -> np.ndarray:
        nonlocal asked
        asked += len(x)
        return rippled_torus(x)

    lattice = Lattice.over(LOW, HIGH, cells, field)
    views = views_of(LOW, HIGH, side)
    asked = 0
    found = benchmark.pedantic(lambda: [march(field, lattice, view) for view in views], rounds=1)
    hits = sum(int(np.isfinite(distance).sum()) for distance in found)
    benchmark.extra_info.update(points=asked, hits=hits)
    # four bisections, and some samples until a ray is inside
    assert 4 * hits < asked < 16 * hits


@pytest.mark.parametrize("kept", ["nothing", "disk", "process"])
def test_the_truth_of_a_mesh(
    benchmark: BenchmarkFixture,
    enabled: bool,
    kept: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is the same for all cells of the knot: solid, labels and depth maps."""
    monkeypatch.setenv("ENCBENCH_CACHE", str(tmp_path))
    side = 192 if enabled else 16

    def truth() -> None:
        found = truth_of("knot" if enabled else "flange", "auto", "")
        assert found.points
        assert found.surface
        assert found.cast(side)

    def forget() -> None:
        truth_of.cache_clear()
        shapes.solid_of_shape.cache_clear()

    forget()
    if kept != "nothing":
        truth()
    if kept == "disk":
        forget()
    benchmark.pedantic(truth, rounds=1)
    forget()
