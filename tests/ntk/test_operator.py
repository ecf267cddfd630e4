"""Products without the kernel give its leading eigenvalues and its density."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from encbench import CoordinateMLP, ParameterError
from encbench.ntk import NtkOperator, empirical_ntk, operator, spectrum
from tests.ntk.grids import CollidingGrid
from tests.ntk.test_kernel import Plain
from tests.ntk.test_model import leave_free


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


@pytest.mark.parametrize("k", [1, 5, 20, 32])
def test_no_copy_of_a_multiple_eigenvalue_is_missing(k: int) -> None:
    torch.manual_seed(2)
    x = torch.rand(40, 12, dtype=torch.float64)
    expected = torch.linalg.eigvalsh(x @ x.T + 1).flip(0).repeat_interleave(6).numpy()
    theta = operator(torch.nn.Linear(12, 6), x, outputs="full")
    for tolerance in (1e-8, 1e-10):
        leading = theta.top(k, tolerance)
        assert leading.values == pytest.approx(expected[:k], rel=1e-9)
        assert leading.vectors.T @ leading.vectors == pytest.approx(np.eye(k), abs=1e-9)


class Diagonal:
    def __init__(self, values: np.ndarray) -> None:
        self.values = torch.from_numpy(values).view(-1, 1)

    def apply(self, vector: torch.Tensor) -> torch.Tensor:
        return self.values * vector


@pytest.mark.parametrize("rest", [0.5 + 5e-4 * np.linspace(-1, 1, 100_000), np.zeros(50)])
def test_copies_beside_others_that_are_nearly_equal_are_not_missing(rest: np.ndarray) -> None:
    values = np.concatenate([[1.2] * 6, [1.0, 0.9, 0.8], rest])
    for kernel, expected in [(values, [1.2] * 6), (0 * values, [0.0] * 6)]:
        theta = NtkOperator([Diagonal(kernel)], torch.zeros(len(kernel), 1).double(), 1)  # type: ignore[list-item]
        assert theta.top(6, 1e-8).values == pytest.approx(expected, rel=1e-8)


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
    assert theta.product(torch.from_numpy(v)).numpy() == pytest.approx(theta @ v, rel=1e-15)


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


def test_converged_values_add_no_error_of_the_quadrature() -> None:
    x = torch.rand(40, 12, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    theta = operator(torch.nn.Linear(12, 6), x, outputs="full")
    density = theta.density()
    count, error = density.count_above(1e-3)
    above = density.size * np.where(density.values > 1e-3, density.weights, 0).sum(1)
    assert error == pytest.approx(above.std(ddof=1) / np.sqrt(len(above)), rel=1e-3)
    assert abs(count - 12 * 6) < 3 * error


def test_density_and_top_refuse_what_they_cannot_give() -> None:
    theta = operator(network(), torch.rand(5, 2))
    with pytest.raises(ParameterError, match="2 probes"):
        theta.density(probes=1)
    with pytest.raises(ParameterError, match="resolves nothing below"):
        theta.density(steps=3, probes=2).count_above(0.0)
    with pytest.raises(ParameterError, match="from 1 to 4"):
        theta.top(5)


def test_any_number_of_points_may_be_held(monkeypatch: pytest.MonkeyPatch) -> None:
    """Factors that do not fit are recomputed, and the memory of those that are held is known."""
    x = torch.rand(5000, 2, dtype=torch.float64)
    v = np.random.default_rng(0).standard_normal(5000)
    whole = operator(network(), x, cached=True)
    assert whole.held == 5000
    (factors,) = whole.sources
    one = sum(t.nbytes for t in tensors_of(factors.held[0]))
    for chunks_that_fit in (1, 3):
        leave_free(int(2 * (chunks_that_fit + 0.5) * one), monkeypatch)
        some = operator(network(), x)
        assert some.held == 1024 * chunks_that_fit
        assert not some.cached
        assert some @ v == pytest.approx(whole @ v, rel=1e-12, abs=1e-12)


def tensors_of(factors: Any) -> list[torch.Tensor]:
    """The distinct tensors that a chunk's factors hold."""
    found = [one for several in factors.values() for one in several]
    tensors = [t for one in found for t in vars(one).values() if isinstance(t, torch.Tensor)]
    return list({t.data_ptr(): t for t in tensors}.values())


def test_units_that_are_off_in_a_whole_chunk_change_nothing() -> None:
    """Chunks of points may have factors in different forms; products are still the kernel's."""
    torch.manual_seed(0)
    model = CoordinateMLP(Plain(), 3, width=16)
    x = torch.rand(2500, 2, dtype=torch.float64)
    with torch.no_grad():
        model.layers[0].weight[:, 1:] = 0.0
        model.layers[0].bias.copy_(-8 * model.layers[0].weight[:, 0] * torch.rand(16))
        model.layers[2].bias.fill_(-1.0)
    x = x[x[:, 0].argsort()]  # so that neighbours share a chunk
    kernel = empirical_ntk(model, x).total
    v = torch.randn(2500, dtype=torch.float64)
    for cached in (True, False):
        found = operator(model, x, cached=cached).product(v)
        assert float((found - kernel @ v).norm()) < 1e-12 * float((kernel @ v).norm())
