"""The B-spline layer of a Kolmogorov–Arnold network, held against scipy's splines."""

import numpy as np
import pytest
import torch
from encbench_encodings.kan_bspline import KanBSpline, _smallest_coefficients
from scipy.interpolate import BSpline

from tests.encodings.encoding_checks import (
    border_points,
    check_gradients,
    check_sparse_jacobian,
    filled,
    random_points,
)


def splines(coefficients: np.ndarray, cells: int) -> BSpline:
    """Cubic splines over equal cells of [−1, 1], with coefficients (cells + 3, m)."""
    return BSpline(np.arange(-3, cells + 4) * (2 / cells) - 1, coefficients, 3)


@pytest.mark.parametrize("cells", [1, 5])
@pytest.mark.parametrize("in_dim", [1, 3])
def test_units_are_sums_of_splines_and_silu(in_dim, cells):
    encoding = filled(KanBSpline(in_dim, features=4, grid=cells))
    x = torch.cat((2 * random_points(20, in_dim) - 0.5, border_points(in_dim)))
    v, table = 2 * x.numpy() - 1, encoding.table.detach().numpy()
    base = table[in_dim * (cells + 3) :]
    expected = (v / (1 + np.exp(-v))) @ base
    for axis, rows in enumerate(np.split(table[: -len(base)], in_dim)):
        expected += splines(rows, cells)(v[:, axis])
    np.testing.assert_allclose(encoding(x).detach(), expected, rtol=1e-12, atol=1e-12)
    assert encoding.table.numel() == 4 * in_dim * (cells + 4)


def test_jacobian_and_gradients():
    encoding = filled(KanBSpline(2, features=3, grid=2))
    check_sparse_jacobian(encoding, torch.cat((random_points(5, 2), border_points(2)[:5])))
    check_gradients(encoding, random_points(3, 2))


def test_splines_start_with_the_smallest_coefficients_that_pass_small_values_at_the_knots():
    torch.manual_seed(0)
    table = KanBSpline(1, features=50, grid=5).table.detach().double().numpy()[:8]
    knots = np.linspace(-1, 1, 6)
    values = splines(table, 5)(knots)
    assert 0.0095 < np.abs(values).max() <= 0.01
    design = splines(np.eye(8), 5)(knots)
    smallest = np.linalg.lstsq(design, values, rcond=None)[0]
    np.testing.assert_allclose(table, smallest, atol=1e-7)


@pytest.mark.parametrize("cells", [1, 2, 40])
def test_the_first_coefficients_are_those_of_the_pseudoinverse(cells):
    values = random_points(cells + 1, 3)
    design = splines(np.eye(cells + 3), cells)(np.linspace(-1, 1, cells + 1))
    expected = np.linalg.pinv(design) @ values.numpy()
    np.testing.assert_allclose(_smallest_coefficients(values), expected, rtol=0, atol=1e-12)


def test_a_fine_grid_costs_no_dense_matrix():
    assert KanBSpline(1, features=1, grid=200_000).table.isfinite().all()
