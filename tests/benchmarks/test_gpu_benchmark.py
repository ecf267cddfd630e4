"""On a GPU: kernels of the hash grid beside torch's operations and tiny-cuda-nn, eigenvalues
beside the CPU's.

Features of both kinds are computed in turn, timed by CUDA events; ratios are of medians.
``share_of_copy`` compares the bytes that must be moved at least, over the time, with the bandwidth
of a copy within the device: coordinates, features and the rows that are read, each once; backward
also the gradient of the whole table, which is set to zero first. Corners read rows many times over,
from the cache where it holds a level: ``gathered_bytes`` counts each time.

    pytest tests/benchmarks/test_gpu_benchmark.py --benchmark-enable -m gpu

The comparison with tiny-cuda-nn is skipped without its bindings; ``peers/README.md`` says how to
get them.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from encbench_encodings.hashgrid import HashGrid
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

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


def gradient(features: Callable[[], Tensor], table: Tensor, upstream: Tensor) -> Tensor:
    return torch.autograd.grad(features(), table, upstream)[0]


def report(benchmark: BenchmarkFixture, **values: Any) -> None:
    info = {"device": torch.cuda.get_device_name(), "torch": torch.__version__, **values}
    benchmark.extra_info.update(info)
    for name, value in info.items():
        print(f"{name}: {value:.4g}" if isinstance(value, float) else f"{name}: {value}")


def synchronized(call: Callable[[], Any]) -> None:
    call()
    torch.cuda.synchronize()


@pytest.mark.parametrize("log2_hashmap_size", [14, 19])
def test_hash_grid_in_3d(benchmark: BenchmarkFixture, log2_hashmap_size: int) -> None:
    torch.manual_seed(0)
    grid = HashGrid(3, log2_hashmap_size=log2_hashmap_size).cuda()
    x = torch.rand(POINTS, 3, device="cuda")
    upstream = torch.rand(POINTS, grid.out_dim, device="cuda")

    ours = partial(grid, x)
    eager = partial(grid.interpolated, grid.table, x)
    step_of_ours = partial(gradient, ours, grid.table, upstream)
    step_of_eager = partial(gradient, eager, grid.table, upstream)

    out = ours()
    assert type(out.grad_fn).__name__ == "_FeaturesBackward"
    torch.testing.assert_close(out, eager(), rtol=1e-5, atol=1e-9)
    torch.testing.assert_close(step_of_ours(), step_of_eager(), rtol=1e-4, atol=1e-4)
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
        lambda: target.copy_(source), ours, eager, step_of_ours, step_of_eager
    )
    bandwidth = 2 * source.nbytes / copy
    report(
        benchmark,
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
    benchmark(synchronized, step_of_ours)


def without_autograd(theirs: Any, x: Tensor, upstream: Tensor) -> tuple[Callable[[], Any], ...]:
    """Forward, and forward and backward, of tiny-cuda-nn's module alone."""
    module = theirs.native_tcnn_module
    params = theirs.params.detach().to(upstream.dtype).requires_grad_()

    def step() -> Tensor:
        context, features = module.fwd(x, params)
        return module.bwd(context, x, params, features, upstream)[1]

    return partial(module.fwd, x, params), step


@pytest.mark.parametrize("jit_fusion", [False, True])
@pytest.mark.parametrize("log2_hashmap_size", [14, 19])
def test_hash_grid_beside_tiny_cuda_nn(
    benchmark: BenchmarkFixture, log2_hashmap_size: int, jit_fusion: bool
) -> None:
    tcnn = pytest.importorskip("tinycudann", reason="tiny-cuda-nn: see peers/README.md")
    torch.manual_seed(0)
    growth = (2048 / 16) ** (1 / 15)
    grid = HashGrid(
        3, log2_hashmap_size=log2_hashmap_size, per_level_scale=growth, init_scale=1.0
    ).cuda()
    config = {
        "otype": "HashGrid",
        "n_levels": len(grid.plan),
        "n_features_per_level": grid.features,
        "log2_hashmap_size": log2_hashmap_size,
        "base_resolution": 16,
        "per_level_scale": growth,
    }
    x = torch.rand(POINTS, 3, device="cuda")
    upstream = torch.rand(POINTS, grid.out_dim, device="cuda")
    ours = partial(grid, x)
    step_of_ours = partial(gradient, ours, grid.table, upstream)
    wanted = {"features": ours().detach(), "gradient": step_of_ours()}
    calls = {"forward": ours, "step": step_of_ours}
    off = {}
    # theirs multiply x by the scale and add 0.5 at once, with an approximate exp2 in the scale
    for dtype, tolerance in ((torch.float32, 2e-3), (torch.float16, 3e-2)):
        theirs = tcnn.Encoding(3, config, dtype=dtype)
        theirs.jit_fusion = jit_fusion
        with torch.no_grad():
            theirs.params.copy_(grid.table.flatten())
        kind = f"tcnn_{str(dtype).removeprefix('torch.')}"
        forward = partial(theirs, x)
        step = partial(gradient, forward, theirs.params, upstream.to(dtype))
        for (name, reference), result in zip(wanted.items(), (forward(), step()), strict=True):
            difference = result.detach().double().view_as(reference) - reference
            off[f"{kind}_{name}_off"] = (difference.norm() / reference.norm()).item()
            assert off[f"{kind}_{name}_off"] < tolerance
        assert theirs.jit_fusion is jit_fusion, "tiny-cuda-nn could not compile its fused kernels"
        calls |= {f"forward_{kind}": forward, f"step_{kind}": step}
        forward, step = without_autograd(theirs, x, upstream.to(dtype))
        calls |= {f"forward_{kind}_kernels": forward, f"step_{kind}_kernels": step}

    seconds = dict(zip(calls, medians(*calls.values()), strict=True))
    report(
        benchmark,
        points=POINTS,
        parameters=grid.table.numel(),
        jit_fusion=jit_fusion,
        note="float16, tiny-cuda-nn's default, is not equal work: half the bytes, and the gradient "
        "is summed in float16; kernels: its module without autograd and loss scale",
        **off,
        **{f"{name}_ms": spent * 1e3 for name, spent in seconds.items()},
        **{
            name.replace("_", "_times_", 1): spent / seconds[name.split("_")[0]]
            for name, spent in seconds.items()
            if "_" in name
        },
    )
    benchmark(synchronized, calls["step_tcnn_float32"])


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
