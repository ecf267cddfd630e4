"""Lanczos finds eigenvalues of known matrices, the largest, the smallest and all."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from encbench.ntk.lanczos import lanczos, largest_eigenvalue, smallest_eigenvalue

CPU = torch.device("cpu")


def random_kernel(size: int, rank: int) -> Tensor:
    j = np.random.default_rng(size).standard_normal((size, rank))
    return torch.from_numpy(j @ j.T)


@pytest.mark.parametrize("size", [1, 2, 30])
def test_lanczos_finds_every_eigenvalue_in_enough_steps(size: int) -> None:
    kernel = random_kernel(size, size + 2)
    found = lanczos(kernel.mv, torch.randn(size, dtype=torch.float64), 99)
    values, weights, bounds = found.nodes()
    assert values == pytest.approx(torch.linalg.eigvalsh(kernel).numpy(), rel=1e-8)
    assert weights.sum() == pytest.approx(1.0)
    assert bounds.max() < 1e-8 * values.max()


@pytest.mark.parametrize("small", [1e-6, 1e-10])
def test_lanczos_finds_no_eigenvalue_twice(small: float) -> None:
    """After one has converged, the basis must stay orthogonal far below the other eigenvalues."""
    generator = np.random.default_rng(0)
    values = np.array([1.0, *np.linspace(2, 1, 20) * small])
    rotation = np.linalg.qr(generator.standard_normal((21, 21)))[0]
    kernel = torch.from_numpy(rotation * values @ rotation.T)
    start = torch.from_numpy(generator.standard_normal(21))
    found, _, _ = lanczos(kernel.mv, start, 21).nodes()
    assert np.sort(found)[::-1] == pytest.approx(values, rel=1e-4)


def test_lanczos_stops_where_its_space_is_exhausted() -> None:
    kernel = torch.tensor([2.0, 2.0, 2.0, 1.0, 1.0, 0.0], dtype=torch.float64).diag()
    values, _, _ = lanczos(kernel.mv, torch.ones(6, dtype=torch.float64), 6).nodes()
    assert values == pytest.approx([0.0, 1.0, 2.0], abs=1e-12)
    assert largest_eigenvalue(kernel.mv, 6, CPU) == pytest.approx(2.0, rel=1e-6)
    assert largest_eigenvalue(torch.zeros(3, 3, dtype=torch.float64).mv, 3, CPU) == 0.0


def test_gauss_and_gauss_radau_nodes_bound_decay_from_below_and_above() -> None:
    kernel = random_kernel(12, 20) / 20
    start = torch.randn(12, dtype=torch.float64)
    found = lanczos(kernel.mv, start, 4)
    values, weights, _ = found.nodes()
    with_zero, their_weights = found.nodes_with_zero()
    assert with_zero[0] == pytest.approx(0.0, abs=1e-14)
    for time in (0.1, 1.0, 10.0):
        decayed = float(start @ torch.linalg.matrix_exp(-time * kernel) @ start) / found.norm**2
        lower, upper = weights @ np.exp(-time * values), their_weights @ np.exp(-time * with_zero)
        assert lower < decayed < upper


def test_nodes_of_a_scaled_kernel_are_scaled() -> None:
    """Even if rounding decides where the node at zero of a singular kernel lies."""
    start = torch.randn(6, dtype=torch.float64)
    small, large = (
        lanczos((random_kernel(6, 2) * scale).mv, start, 6).nodes_with_zero()
        for scale in (1.0, 2.0**30)
    )
    assert np.array_equal(small[0] * 2.0**30, large[0])
    assert np.array_equal(small[1], large[1])


@pytest.mark.parametrize(("size", "rank"), [(1, 3), (2, 2), (40, 60), (40, 40), (40, 25), (200, 8)])
def test_the_smallest_eigenvalue_is_found_to_the_accuracy_asked_for(size: int, rank: int) -> None:
    kernel = random_kernel(size, rank)
    values = torch.linalg.eigvalsh(kernel)
    for share in (8 * np.finfo(float).eps, 1e-9):
        accuracy = share * float(values[-1])
        found = smallest_eigenvalue(kernel, accuracy)
        assert found is not None
        assert abs(found - float(values[0])) < accuracy


def test_a_matrix_that_is_not_positive_semi_definite_has_no_smallest_eigenvalue_here() -> None:
    assert smallest_eigenvalue(torch.diag(torch.tensor([1.0, -1e-3]).double()), 1e-6) is None
