"""Kernels of products of tables, held against a minimal program that does nothing else.

Run with ``pytest tests/benchmarks/test_ntk_products_benchmark.py --benchmark-enable``, on a quiet
machine, OMP_NUM_THREADS=1. Ratios are recorded in ``extra_info``, never asserted.
"""

from __future__ import annotations

import time
from collections.abc import Callable

import numpy as np
import pytest
import scipy.sparse
import torch
from encbench_encodings.dictionary_field import DictionaryField
from encbench_encodings.identity import Identity
from encbench_encodings.kplanes import KPlanes
from encbench_encodings.tensorf_cp import TensorfCP
from encbench_encodings.tensorf_vm import TensorfVM
from pytest_benchmark.fixture import BenchmarkFixture
from torch import Tensor

from encbench import CoordinateMLP, Encoding
from encbench.ntk import empirical_ntk

ROUNDS = 5
ENCODINGS: dict[str, Callable[[], Encoding]] = {
    "kplanes": lambda: KPlanes(3),
    "tensorf_cp": lambda: TensorfCP(3),
    "tensorf_vm": lambda: TensorfVM(3),
    "dictionary_field": lambda: DictionaryField(3),
}


def minimal(model: CoordinateMLP, x: Tensor) -> Tensor:
    """The encoding's part of the trace kernel: one gradient of the features, then its products."""
    features = model.encoding(x).detach().requires_grad_(True)
    f = model.layers(features)
    outputs = range(f.shape[1])
    grads = [torch.autograd.grad(f[:, a].sum(), features, retain_graph=True)[0] for a in outputs]
    total = torch.zeros(len(x), len(x), dtype=x.dtype)
    with torch.no_grad():
        for block in model.encoding.sparse_jacobian(x) or []:
            columns = slice(block.start, block.start + block.width)
            g = torch.cat([grad[:, columns] * block.factor for grad in grads], 1)
            _, local = torch.unique(block.rows, return_inverse=True)
            starts = np.arange(len(x) + 1) * block.rows.shape[1]
            s = scipy.sparse.csr_array(
                (block.weights.numpy().ravel(), local.numpy().ravel(), starts)
            )
            pairs = (s @ s.T).tocoo()
            rows, cols = (torch.from_numpy(part).long() for part in (pairs.row, pairs.col))
            if len(rows) < 0.1 * total.numel():
                total[rows, cols] += torch.from_numpy(pairs.data) * (g[rows] * g[cols]).sum(1)
            else:
                total += torch.from_numpy(pairs.toarray()) * (g @ g.t())
    return total / f.shape[1]


def seconds(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


@pytest.mark.parametrize("out_dim", [1, 3])
@pytest.mark.parametrize("name", list(ENCODINGS))
def test_kernel_of_products_of_tables(benchmark: BenchmarkFixture, name: str, out_dim: int) -> None:
    points = 4096 if benchmark.enabled else 24
    torch.manual_seed(0)
    model = CoordinateMLP(ENCODINGS[name](), out_dim).double()
    plain = CoordinateMLP(Identity(3), out_dim).double()
    x = torch.rand(points, 3, dtype=torch.float64)
    found = benchmark.pedantic(
        lambda: empirical_ntk(model, x).parts["encoding"], rounds=ROUNDS if benchmark.enabled else 1
    )
    expected = minimal(model, x)
    error = float((found - expected).norm() / expected.norm())
    benchmark.extra_info["relative difference"] = error
    assert error < 1e-12
    if benchmark.enabled:
        peers = [
            seconds(lambda: minimal(model, x)) + seconds(lambda: empirical_ntk(plain, x))
            for _ in range(ROUNDS)
        ]
        peer = sorted(peers)[ROUNDS // 2]
        benchmark.extra_info["minimal program and MLP, seconds"] = peer
        benchmark.extra_info["ratio"] = benchmark.stats.stats.median / peer
