"""A training step beside eager PyTorch, and beside its matrix products alone.

Both peers run in turn with ours, and ratios are medians over the rounds, so that a busy machine
slows all alike:

    OMP_NUM_THREADS=1 pytest tests/benchmarks/test_training_benchmark.py --benchmark-enable

"eager" is the same module by autograd, with ``torch.optim`` as it is constructed by default.
"gemm" is the products of forward pass, backward pass and update, without anything else.
"""

from __future__ import annotations

import copy
import statistics
import time
from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from encbench_encodings.ffe import FourierFeatureEncoding
from encbench_encodings.hashgrid import HashGrid
from encbench_encodings.identity import Identity
from encbench_encodings.mpe import MultigridParametricEncoding

from encbench import CoordinateMLP, Optimizer
from encbench.device import finish
from encbench.training.optimizers import Adam, Sgd
from encbench.training.step import make_step

POINTS = 16384
ENCODINGS: dict[str, Callable[[], Any]] = {
    "identity": lambda: Identity(2),
    "ffe 16": lambda: FourierFeatureEncoding(2, levels=16),
    "mpe 200²": lambda: MultigridParametricEncoding(2, resolutions=[200]),
    "hash 2D 2^14": lambda: HashGrid(2, log2_hashmap_size=14, max_resolution=512),
    "hash 3D 2^14": lambda: HashGrid(3, log2_hashmap_size=14),
    "hash 3D 2^19": lambda: HashGrid(3, log2_hashmap_size=19),
}
RULES: dict[str, tuple[Optimizer, type[torch.optim.Optimizer]]] = {
    "sgd": (Sgd(), torch.optim.SGD),
    "adam": (Adam(), torch.optim.Adam),
}
CASES = [(name, rule, 32) for name in ENCODINGS for rule in RULES]
CASES += [(name, "sgd", batch) for name in ("identity", "ffe 16") for batch in (1024, 8192)]
LR = 1e-4
CPU = torch.device("cpu")
Steps = Callable[[int], None]


def layerwise(
    model: CoordinateMLP, rule: Optimizer, x: torch.Tensor, y: torch.Tensor, b: int
) -> Steps:
    step = make_step(model, "mse", rule, (LR, LR), x, points=10**9, batch_size=b)
    assert step.how in ("layerwise", "layerwise, recorded")

    def run(count: int) -> None:
        losses = torch.empty(count, device=x.device)
        for i in range(count):
            at = i * b % len(x)
            if at == 0:
                step.begin(x, y, torch.randperm(len(x)).to(x.device))
            losses[i] = step(at, at + b)

    return run


def eager(
    model: CoordinateMLP,
    optimizer: torch.optim.Optimizer,
    x: torch.Tensor,
    y: torch.Tensor,
    b: int,
) -> Steps:
    def run(count: int) -> None:
        losses = torch.empty(count, device=x.device)
        for i in range(count):
            at = i * b % len(x)
            if at == 0:
                order = torch.randperm(len(x)).to(x.device)
                x_epoch, y_epoch = x[order], y[order]
            optimizer.zero_grad()
            loss = F.mse_loss(model(x_epoch[at : at + b]), y_epoch[at : at + b])
            loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
            optimizer.step()
            losses[i] = loss.detach()

    return run


def products(model: CoordinateMLP, b: int) -> Steps:
    """The matrix products of a step: output, gradient at the input, update."""
    weights = [p.detach() for p in model.layers.parameters() if p.ndim == 2]
    inputs = [torch.randn(b, w.shape[1]) for w in weights]
    outputs = [torch.randn(b, w.shape[0]) for w in weights]
    learned = any(True for _ in model.encoding.parameters())

    @torch.no_grad()
    def run(count: int) -> None:
        for _ in range(count):
            for w, x, z in zip(weights, inputs, outputs, strict=True):
                torch.mm(x, w.t(), out=z)
            for layer, (w, x, z) in enumerate(zip(weights, inputs, outputs, strict=True)):
                if layer or learned:
                    torch.mm(z, w, out=x)
                w.addmm_(z.t(), x, alpha=1e-30)

    return run


def in_turn(
    rounds: int, count: int, device: torch.device = CPU, **runs: Steps
) -> dict[str, list[float]]:
    """Seconds a step of each, round by round."""
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run(3)
    for _ in range(rounds):
        for name, run in runs.items():
            start = time.perf_counter()
            run(count)
            finish(device)
            seconds[name].append((time.perf_counter() - start) / count)
    return seconds


def ratio(above: list[float], below: list[float]) -> float:
    return statistics.median(a / b for a, b in zip(above, below, strict=True))


@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "rule", "batch"), CASES)
def test_training_step(benchmark, name: str, rule: str, batch: int) -> None:
    torch.manual_seed(0)
    model = CoordinateMLP(ENCODINGS[name](), 3, 512, 2, "standard")
    count = POINTS if benchmark.enabled else batch
    x, y = torch.rand(count, model.in_dim), torch.rand(count, 3)
    spec, optimizer = RULES[rule]
    twin = copy.deepcopy(model)
    # enough for the medians when timed, and once to see that it runs
    rounds, count = (12, {32: 60, 1024: 4, 8192: 1}[batch]) if benchmark.enabled else (1, 1)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        ours = layerwise(model, spec, x, y, batch)
        seconds = in_turn(
            rounds,
            count,
            ours=ours,
            eager=eager(twin, optimizer(twin.parameters(), lr=LR), x, y, batch),
            gemm=products(copy.deepcopy(twin), batch),
        )
        benchmark.pedantic(ours, args=(count,), rounds=1)
    finally:
        torch.set_num_threads(before)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    benchmark.extra_info |= {
        "ms_per_step": 1e3 * statistics.median(seconds["ours"]),
        "times_as_fast_as_eager": ratio(seconds["eager"], seconds["ours"]),
        "share_of_gemm": ratio(seconds["gemm"], seconds["ours"]),
        "accuracy": "tests/training/test_step.py: 1e-10 of autograd in float64",
    }
    info = benchmark.extra_info
    print(
        f"{name}, {rule}, B = {batch}: {info['ms_per_step']:.3f} ms, "
        f"{info['times_as_fast_as_eager']:.2f} × eager, {info['share_of_gemm']:.0%} of GEMM"
    )


@pytest.mark.gpu
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("name", "rule", "batch"), CASES)
def test_training_step_on_a_gpu(benchmark, name: str, rule: str, batch: int) -> None:
    device = torch.device("cuda")
    torch.manual_seed(0)
    model = CoordinateMLP(ENCODINGS[name](), 3, 512, 2, "standard").to(device)
    x = torch.rand(POINTS, model.in_dim, device=device)
    y = torch.rand(POINTS, 3, device=device)
    spec, optimizer = RULES[rule]
    twin = copy.deepcopy(model)
    ours = layerwise(model, spec, x, y, batch)
    other = eager(twin, optimizer(twin.parameters(), lr=LR), x, y, batch)
    steps = 500 if batch == 32 else 50
    ours(20)  # buffers, and the recording
    seconds = in_turn(7 if benchmark.enabled else 1, steps, device, ours=ours, eager=other)
    benchmark.pedantic(ours, args=(steps,), rounds=1)
    assert all(torch.isfinite(p).all() for p in model.parameters())
    benchmark.extra_info |= {
        "device": torch.cuda.get_device_name(),
        "us_per_step": 1e6 * statistics.median(seconds["ours"]),
        "times_as_fast_as_eager": ratio(seconds["eager"], seconds["ours"]),
        "accuracy": "tests/training/test_step.py: 1e-9 of autograd in float64",
    }
    info = benchmark.extra_info
    print(
        f"{info['device']}: {name}, {rule}, B = {batch}: {info['us_per_step']:.1f} µs, "
        f"{info['times_as_fast_as_eager']:.2f} × eager"
    )
