"""The kernel is the Jacobian's Gram matrix, whichever method computed it."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from encbench import CoordinateMLP, Encoding
from encbench.ntk import capture, cross_ntk, empirical_ntk, kernel, operator, terms
from tests.ntk.conftest import OUTPUTS, brute_force, gram, jacobian, relative_error
from tests.ntk.grids import CollidingGrid, LearnedFeatures, SilentGrid


class Plain(Encoding):
    def __init__(self, in_dim: int = 2) -> None:
        super().__init__(in_dim, out_dim=in_dim)

    def forward(self, x: Tensor) -> Tensor:
        return x


ENCODINGS = [Plain, CollidingGrid, SilentGrid, LearnedFeatures]


def network(encoding: Encoding, out_dim: int = 3, **options: Any) -> CoordinateMLP:
    return CoordinateMLP(encoding, out_dim, **{"width": 16, "depth": 2, **options})


@pytest.mark.parametrize("out_dim", [1, 3])
@pytest.mark.parametrize("depth", [1, 2, 8])
@pytest.mark.parametrize("parameterization", ["ntk", "standard"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_kernel_is_the_gram_matrix_of_the_jacobian(
    encoding: type[Any],
    parameterization: Any,
    depth: int,
    out_dim: int,
    points: Tensor,
) -> None:
    points = points[:20]
    torch.manual_seed(depth)
    model = network(encoding(), out_dim, depth=depth, parameterization=parameterization)
    jacobians = jacobian(model, points)
    of_encoding = [name for name in jacobians if name.startswith("encoding")]
    of_mlp = [name for name in jacobians if name not in of_encoding]
    for outputs in OUTPUTS:
        ntk = empirical_ntk(model, points, outputs=outputs)
        assert relative_error(ntk.total, gram(jacobians, outputs)) < 1e-12
        assert relative_error(ntk.parts["mlp"], gram(jacobians, outputs, of_mlp)) < 1e-12
        if of_encoding:
            reference = gram(jacobians, outputs, of_encoding)
            assert relative_error(ntk.parts["encoding"], reference) < 1e-12


@pytest.mark.parametrize("outputs", ["trace", "full"])
@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_operator_multiplies_as_the_kernel_does(
    encoding: type[Any], cached: bool, outputs: Any, points: Tensor
) -> None:
    model = network(encoding())
    kernel = empirical_ntk(model, points, outputs=outputs).total.numpy()
    v = torch.randn(len(kernel), dtype=torch.float64).numpy()
    theta = operator(model, points, outputs=outputs, cached=cached)
    product = theta @ v
    assert theta.cached is cached
    assert abs(product - kernel @ v).max() < 1e-12 * abs(kernel @ v).max()


@pytest.mark.parametrize("outputs", ["trace", "full"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_cross_kernel_is_a_block_of_the_joint_kernel(
    encoding: type[Any], outputs: Any, points: Tensor
) -> None:
    model = network(encoding())
    rows = 3 if outputs == "full" else 1
    joint = empirical_ntk(model, points, outputs=outputs).total
    block = cross_ntk(model, points[:15], points[15:], outputs=outputs)
    assert relative_error(block, joint[: 15 * rows, 15 * rows :]) < 1e-14


@settings(max_examples=25, deadline=None)
@given(
    in_dim=st.integers(1, 3),
    out_dim=st.integers(1, 4),
    width=st.integers(1, 9),
    depth=st.integers(1, 4),
    count=st.integers(1, 12),
    outputs=st.sampled_from(["trace", "full"]),
    seed=st.integers(0, 2**16),
)
def test_kernel_of_any_small_network(
    in_dim: int, out_dim: int, width: int, depth: int, count: int, outputs: Any, seed: int
) -> None:
    torch.manual_seed(seed)
    model = network(Plain(in_dim), out_dim, width=width, depth=depth)
    x = torch.rand(count, in_dim, dtype=torch.float64)
    kernel = empirical_ntk(model, x, outputs=outputs).total
    assert relative_error(kernel, brute_force(model, x, outputs)) < 1e-12
    order = torch.randperm(count)
    moved = empirical_ntk(model, x[order], outputs="trace").total
    trace = empirical_ntk(model, x, outputs="trace").total
    assert relative_error(moved, trace[order][:, order]) < 1e-12


@pytest.mark.gpu
@pytest.mark.parametrize("outputs", ["trace", "full"])
@pytest.mark.parametrize("encoding", ENCODINGS)
def test_gpu_and_cpu_give_the_same_kernel(
    encoding: type[Any], outputs: Any, points: Tensor
) -> None:
    model = network(encoding())
    here = empirical_ntk(model, points, outputs=outputs).total
    there = empirical_ntk(model, points, outputs=outputs, device="cuda").total
    assert there.device.type == "cuda"
    assert relative_error(there.cpu(), here) < 1e-12
    v = torch.ones(len(here), dtype=torch.float64).numpy()
    for cached in (True, False):
        product = operator(model, points, outputs=outputs, device="cuda", cached=cached) @ v
        assert relative_error(torch.from_numpy(product), here.sum(1)) < 1e-12


@pytest.mark.parametrize("outputs", ["trace", "full"])
@pytest.mark.parametrize("encoding", [CollidingGrid, SilentGrid, LearnedFeatures])
def test_the_method_of_a_gpu_gives_the_same_kernel(
    encoding: type[Any], outputs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    x = torch.rand(200, 2, dtype=torch.float64)
    model = network(encoding())
    whole = empirical_ntk(model, x, outputs=outputs)
    cross = cross_ntk(model, x[:80], x[80:], outputs=outputs)
    for module in (capture, kernel):
        monkeypatch.setattr(module, "prefers_large_pieces", lambda device: True)
    monkeypatch.setattr(capture, "GPU_DENSE", 0)
    monkeypatch.setattr(kernel, "GPU_TILE", (64, 96))
    monkeypatch.setattr(terms, "STRIP_BYTES", 8 * 7 * 10)  # 10 points of 7 vertices
    found = empirical_ntk(model, x, outputs=outputs)
    assert relative_error(found.total, whole.total) < 1e-13
    assert relative_error(found.parts["encoding"], whole.parts["encoding"]) < 1e-13
    assert torch.equal(found.total, found.total.t())
    again = cross_ntk(model, x[:80], x[80:], outputs=outputs)
    assert relative_error(again, cross) < 1e-13


def test_kernel_is_symmetric_to_the_last_bit_across_tiles() -> None:
    x = torch.rand(600, 2, dtype=torch.float64)
    model = network(CollidingGrid())
    kernel = empirical_ntk(model, x).total
    assert torch.equal(kernel, kernel.t())
    assert relative_error(kernel, brute_force(model, x, "trace")) < 1e-12


def test_an_encoding_without_parameters_contributes_exact_zeros(points: Tensor) -> None:
    ntk = empirical_ntk(network(Plain()), points)
    assert not ntk.parts["encoding"].any()
    assert torch.equal(ntk.parts["mlp"], ntk.total)


def test_full_kernel_puts_point_before_output(points: Tensor) -> None:
    model = network(Plain())
    full = empirical_ntk(model, points, outputs="full").total.view(40, 3, 40, 3)
    trace = empirical_ntk(model, points, outputs="trace").total
    assert relative_error(full.diagonal(dim1=1, dim2=3).mean(-1), trace) < 1e-14
