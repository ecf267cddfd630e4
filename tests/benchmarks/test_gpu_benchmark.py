"""On a GPU: kernels of the hash grid beside torch's operations, eigenvalues beside the CPU's.

Features of both kinds are computed in turn, timed by CUDA events; ratios are of medians.
``share_of_copy`` compares the bytes that must be moved at least, over the time, with the bandwidth
of a copy within the device: coordinates, features and the rows that are read, each once; backward
also the gradient of the whole table, which is set to zero first. Corners read rows many times over,
from the cache where it holds a level: ``gathered_bytes`` counts each time.

    pytest tests/benchmarks/test_gpu_benchmark.py --benchmark-enable -m gpu
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from encbench_encodings.hashgrid import HashGrid
from pytest_benchmark.fixture import BenchmarkFixture

from encbench import CoordinateMLP
from encbench.ntk import empirical_ntk, spectrum

POINTS = 1 << 18
ROUNDS = 30

pytestmark = pytest.mark.gpu


def medians(*calls: Callable[[], Any]) -> list[float]:
    """Seconds on the device of each call, in turn; the launch is waited for, and not counted.

    Rounds in which the device had to wait for the launch are left out, unless it did in all.
    """
    times: list[tuple[list[float], list[float]]] = [([], []) for _ in calls]
    for turn in range(3 + ROUNDS):
        for call, spent in zip(calls, times, strict=True):
            begin, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            torch.cuda._sleep(2_000_000)  # meanwhile the call is queued
            begin.record()
            call()
            end.record()
            late = begin.query()
            torch.cuda.synchronize()
            if turn >= 3:
                spent[late].append(begin.elapsed_time(end) / 1e3)
    return [statistics.median(in_time or late) for in_time, late in times]


@pytest.mark.parametrize("log2_hashmap_size", [14, 19])
def test_hash_grid_in_3d(benchmark: BenchmarkFixture, log2_hashmap_size: int) -> None:
    torch.manual_seed(0)
    grid = HashGrid(3, log2_hashmap_size=log2_hashmap_size).cuda()
    x = torch.rand(POINTS, 3, device="cuda")
    upstream = torch.rand(POINTS, grid.out_dim, device="cuda")

    def ours() -> Any:
        return grid(x)

    def eager() -> Any:
        return grid.interpolated(grid.table, x)

    def both(features: Callable[[], Any]) -> Callable[[], Any]:
        return lambda: torch.autograd.grad(features(), grid.table, upstream)[0]

    out = ours()
    assert type(out.grad_fn).__name__ == "_FeaturesBackward"
    torch.testing.assert_close(out, eager(), rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(both(ours)(), both(eager)(), rtol=1e-4, atol=1e-4)
    rows, _ = grid.rows_and_weights(x)
    row_bytes = grid.features * 4
    read = len(torch.unique(rows)) * row_bytes
    forward_bytes = x.nbytes + upstream.nbytes + read
    backward_bytes = x.nbytes + upstream.nbytes + grid.table.nbytes + 2 * read
    gathered = rows.numel() * row_bytes
    del out, rows
    source = torch.empty(1 << 28, dtype=torch.uint8, device="cuda")
    target = torch.empty_like(source)

    copy, forward, forward_eager, step, step_eager = medians(
        lambda: target.copy_(source), ours, eager, both(ours), both(eager)
    )
    bandwidth = 2 * source.nbytes / copy
    benchmark.extra_info.update(
        device=torch.cuda.get_device_name(),
        torch=torch.__version__,
        points=POINTS,
        parameters=grid.table.numel(),
        copy_gb_per_s=bandwidth / 1e9,
        forward_ms=forward * 1e3,
        forward_eager_ms=forward_eager * 1e3,
        forward_times_eager=forward_eager / forward,
        forward_bytes=forward_bytes,
        forward_share_of_copy=forward_bytes / forward / bandwidth,
        step_ms=step * 1e3,
        step_eager_ms=step_eager * 1e3,
        step_times_eager=step_eager / step,
        step_bytes=forward_bytes + backward_bytes,
        step_share_of_copy=(forward_bytes + backward_bytes) / step / bandwidth,
        gathered_bytes=gathered,
    )
    for name, value in benchmark.extra_info.items():
        print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")

    def synchronized() -> None:
        both(ours)()
        torch.cuda.synchronize()

    benchmark(synchronized)


def test_eigenvalues_on_a_gpu_and_on_a_cpu(benchmark: BenchmarkFixture) -> None:
    torch.manual_seed(0)
    count = 8000 if benchmark.enabled else 200
    model = CoordinateMLP(HashGrid(2, max_resolution=128), 3, 512, 2).double().cuda()
    kernel = empirical_ntk(model, torch.rand(count, 2, dtype=torch.float64)).total
    here, there = kernel.cpu(), spectrum(kernel)
    began = time.perf_counter()
    reference = spectrum(here)
    seconds = time.perf_counter() - began
    benchmark.pedantic(spectrum, args=(kernel,), rounds=3)
    both = (reference.eigenvalues > reference.floor) & (there.eigenvalues > there.floor)
    off = np.abs(there.eigenvalues / reference.eigenvalues - 1)[both].max()
    assert off < 0.2
    assert abs(there.resolved_rank - reference.resolved_rank) <= 0.01 * count
    benchmark.extra_info.update(
        device=torch.cuda.get_device_name(),
        points=count,
        resolved_rank=there.resolved_rank,
        largest_relative_difference=off,
        cpu_threads=torch.get_num_threads(),
        cpu_seconds=seconds,
    )
    if benchmark.enabled:
        benchmark.extra_info["times_cpu"] = seconds / benchmark.stats.stats.median
    print(dict(benchmark.extra_info))
