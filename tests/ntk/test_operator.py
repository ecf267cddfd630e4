"""Products without the kernel give its leading eigenvalues and its density."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from encbench import CoordinateMLP, ParameterError
from encbench.ntk import empirical_ntk, operator, spectrum
from encbench.ntk.operator import lanczos, largest_eigenvalue
from tests.ntk.grids import CollidingGrid
from tests.ntk.test_kernel import Plain


def network() -> CoordinateMLP:
    torch.manual_seed(0)
    return CoordinateMLP(CollidingGrid(), 3, width=24)


@pytest.mark.parametrize("cached", [True, False])
@pytest.mark.parametrize("outputs", ["trace", "full"])
def test_leading_eigenpairs_are_those_of_the_kernel(outputs: Any, cached: bool) -> None:
    x = torch.rand(40, 2, dtype=torch.float64)
    kernel = empirical_ntk(network(), x, outputs=outputs).total
    leading = operator(network(), x, outputs=outputs, cached=cached).top(5)
    assert leading.values == pytest.approx(spectrum(kernel).eigenvalues[:5], rel=1e-10)
    residual = kernel.numpy() @ leading.vectors - leading.vectors * leading.values
    assert np.linalg.norm(residual, axis=0) == pytest.approx(leading.bounds, abs=1e-8)
    assert (leading.bounds < 1e-6 * leading.values[0]).all()


def test_symmetry_and_linearity_of_products() -> None:
    x = torch.rand(60, 2, dtype=torch.float64)
    theta = operator(network(), x, outputs="full")
    generator = np.random.default_rng(0)
    u, v = generator.standard_normal((2, 180))
    assert u @ (theta @ v) == pytest.approx(v @ (theta @ u), rel=1e-12)
    assert theta @ (2 * u - v) == pytest.approx(2 * (theta @ u) - theta @ v, rel=1e-9, abs=1e-9)
    assert theta.H @ u == pytest.approx(theta @ u)
    both = theta @ np.stack([u, v], 1)
    assert both[:, 1] == pytest.approx(theta @ v, rel=1e-12)


def test_products_span_several_chunks() -> None:
    x = torch.rand(9001, 2, dtype=torch.float64)
    v = np.random.default_rng(0).standard_normal(9001)
    model = CoordinateMLP(Plain(), 2, width=8)
    held, streamed = (operator(model, x, cached=cached) @ v for cached in (True, False))
    assert held == pytest.approx(streamed, rel=1e-9, abs=1e-9 * np.abs(held).max())


def test_density_counts_eigenvalues_within_its_error_bars() -> None:
    torch.manual_seed(11)
    x = torch.rand(150, 2, dtype=torch.float64)
    values = spectrum(empirical_ntk(network(), x).total).eigenvalues
    density = operator(network(), x).density(steps=60, probes=10)
    for threshold in (1e-4, 1e-2, 1.0):
        count, error = density.count_above(threshold)
        assert abs(count - (values > threshold).sum()) < 3 * error
        assert error < 0.2 * len(values)
    total, error = density.trace()
    assert abs(total - values.sum()) < 4 * error
    assert error < 0.5 * total
    assert density.weights.sum(1) == pytest.approx(np.ones(10))


def test_density_and_top_refuse_what_they_cannot_give() -> None:
    theta = operator(network(), torch.rand(5, 2))
    with pytest.raises(ParameterError, match="2 probes"):
        theta.density(probes=1)
    with pytest.raises(ParameterError, match="resolves nothing below"):
        theta.density(steps=3, probes=2).count_above(0.0)
    with pytest.raises(ParameterError, match="from 1 to 4"):
        theta.top(5)


@pytest.mark.parametrize("size", [1, 2, 30])
def test_lanczos_finds_every_eigenvalue_when_it_may(size: int) -> None:
    generator = np.random.default_rng(size)
    j = generator.standard_normal((size, size + 2))
    kernel = j @ j.T
    found = lanczos(kernel.__matmul__, generator.standard_normal(size), 99)
    values, weights, bounds = found.nodes()
    assert values == pytest.approx(np.linalg.eigvalsh(kernel), rel=1e-8)
    assert weights.sum() == pytest.approx(1.0)
    assert bounds.max() < 1e-8 * values.max()


@pytest.mark.parametrize("small", [1e-6, 1e-10])
def test_lanczos_finds_no_eigenvalue_twice(small: float) -> None:
    """Behind one that has converged, the basis must stay orthogonal to far below the others."""
    generator = np.random.default_rng(0)
    values = np.array([1.0, *np.linspace(2, 1, 20) * small])
    rotation = np.linalg.qr(generator.standard_normal((21, 21)))[0]
    kernel = rotation * values @ rotation.T
    found, _, _ = lanczos(kernel.__matmul__, generator.standard_normal(21), 21).nodes()
    assert np.sort(found)[::-1] == pytest.approx(values, rel=1e-4)


def test_lanczos_stops_where_its_space_is_exhausted() -> None:
    kernel = np.diag([2.0, 2.0, 2.0, 1.0, 1.0, 0.0])
    values, _, _ = lanczos(kernel.__matmul__, np.ones(6), 6).nodes()
    assert values == pytest.approx([0.0, 1.0, 2.0], abs=1e-12)
    assert largest_eigenvalue(kernel.__matmul__, 6) == pytest.approx(2.0, rel=1e-6)
    assert largest_eigenvalue(np.zeros((3, 3)).__matmul__, 3) == 0.0
