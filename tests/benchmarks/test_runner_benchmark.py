"""What the runner adds to a cell: in process, in a pool, each process anew, on Dask.

Cells are as empty as they get (one step, one hidden unit, no spectrum). Workers take seconds to
start, so that two numbers are told apart, from a short and a long run: ``start`` is what a run
costs however many cells it has, ``cell`` what each further one does. ``own`` is what the cell's
phases took by themselves; the rest of ``cell`` is the runner's, most of it flushing files to disk.

    OMP_NUM_THREADS=1 pytest tests/benchmarks/test_runner_benchmark.py --benchmark-enable

The peers run the same cells and keep nothing: a plain loop, ``concurrent.futures``, and Dask's
``Client.map`` into its workers' threads.
"""

from __future__ import annotations

import concurrent.futures
import multiprocessing
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from encbench import Suite, plan, run_suite
from encbench.plugins.host import PluginHost, default_host
from encbench.plugins.registry import Registry, default_registry
from encbench.results.records import CellResult
from encbench.results.store import Store
from encbench.runs.cell import run_cell
from encbench.runs.interface import Executor
from encbench.runs.limits import Limits
from encbench.runs.reuse import left_to_run
from encbench.suite.config import CellConfig
from tests.benchmarks.synthetic import settle, synthetic_cells, write_records
from tests.runs.conftest import Cluster

COUNTS = {"isolated": (2, 8)}
"""Cells of the short and the long run, where not (4, 64)."""


def empty_cells(count: int) -> Suite:
    return Suite.model_validate(
        {
            "encodings": ["identity"],
            "tasks": ["image:image=astronaut,side=16"],
            "seeds": list(range(count)),
            "network": {"width": 1, "depth": 1},
            "training": {"steps": 1, "evaluations": 1, "lr": 0.01},
            "ntk": {"points": 0},
        }
    )


def without_reporters() -> Registry:
    """Else every run would end with a rendered leaderboard."""
    host = PluginHost()
    host.plugins = [p for p in default_host().plugins if p.name != "leaderboard"]
    return Registry(host)


@pytest.fixture
def cluster(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    pytest.importorskip("distributed", reason="Dask is an optional extra")
    # what is timed is no forked process, which holds more than one that imported for itself
    started = Cluster(tmp_path, afresh=request.config.getoption("benchmark_enable"))
    for name in ("one", "two"):
        started.worker(name)
    yield str(started.file)
    started.close()


def slope(benchmark, run: Callable[[int], list[CellResult]], cells: str) -> None:
    """Time a short and a long run, the long one in the table."""
    if not benchmark.enabled:
        results = benchmark.pedantic(run, args=(1,), rounds=1)
        assert [result.record.status for result in results] == ["ok"]
        return
    few, many = COUNTS.get(cells, (4, 64))
    run(few)
    begun = time.perf_counter()
    run(few)
    short = time.perf_counter() - begun
    begun = time.perf_counter()
    results = benchmark.pedantic(run, args=(many,), rounds=1, iterations=1)
    long = time.perf_counter() - begun
    each = (long - short) / (many - few)
    own = sum(sum(result.record.durations.values()) for result in results) / many
    assert [result.record.status for result in results] == ["ok"] * many
    benchmark.extra_info.update(
        cells=cells,
        cell_ms=round(1e3 * each, 1),
        own_ms=round(1e3 * own, 1),
        start_s=round(short - few * each, 2),
    )


@pytest.mark.parametrize("how", ["in process", "pool of 2", "isolated", "dask, 2 workers"])
def test_a_run_of_empty_cells(benchmark, tmp_path, request, how):
    registry = without_reporters()
    number = iter(range(1000))

    def run(count: int, executor: Executor | None = None) -> list[CellResult]:
        done = run_suite(
            empty_cells(count),
            tmp_path / f"out-{next(number)}",
            registry=registry,
            jobs=2 if how == "pool of 2" else 1,
            device="cpu",
            isolate=how == "isolated",
            limits=Limits(),
            executor=executor,
        )
        return [CellResult(stored.record) for stored in done.records]

    if how.startswith("dask"):
        from encbench.runs.executors.dask import connect

        address = request.getfixturevalue("cluster")

        def on_cluster(count: int) -> list[CellResult]:
            with connect(address, device="cpu") as executor:
                return run(count, executor)

        slope(benchmark, on_cluster, how)
    else:
        slope(benchmark, run, how)


@pytest.mark.parametrize("how", ["loop", "concurrent.futures", "dask"])
def test_peers_that_keep_nothing(benchmark, request, how):
    def cells(count: int) -> list[CellConfig]:
        return plan(empty_cells(count), default_registry())

    if how == "loop":
        slope(benchmark, lambda count: [plain(cell) for cell in cells(count)], how)
    elif how == "concurrent.futures":

        def in_pool(count: int) -> list[CellResult]:
            context = multiprocessing.get_context("spawn")
            with concurrent.futures.ProcessPoolExecutor(2, context) as pool:
                return list(pool.map(plain, cells(count)))

        slope(benchmark, in_pool, how)
    else:
        address = request.getfixturevalue("cluster")
        from distributed import Client

        def on_dask(count: int) -> list[CellResult]:
            with Client(scheduler_file=address, set_as_default=False) as client:
                return client.gather(client.map(plain, cells(count), pure=False))

        slope(benchmark, on_dask, how)


def test_the_plan_of_a_run_whose_cells_have_records(benchmark, tmp_path):
    cells = list(synthetic_cells(*((25, 40, 10) if benchmark.enabled else (3, 2, 2))))
    write_records(tmp_path, cells)
    settle(tmp_path)
    Store(tmp_path).records()  # makes the index
    left = benchmark.pedantic(lambda: left_to_run(cells, tmp_path), rounds=3)
    benchmark.extra_info.update(records=len(cells))
    assert left == []


def plain(cell: CellConfig) -> CellResult:
    return run_cell(cell, default_registry())
