"""The grid of cubic B-splines, held against two of scipy's."""

import numpy as np
import pytest
import torch
from encbench_encodings.bspline_grid import BSplineGrid
from scipy.interpolate import NdBSpline
from scipy.ndimage import map_coordinates

from encbench import ParameterError
from tests.encodings.encoding_checks import (
    border_points,
    check_gradients,
    check_sparse_jacobian,
    filled,
    random_points,
)


def points(in_dim: int) -> torch.Tensor:
    return torch.cat((random_points(30, in_dim), border_points(in_dim)))


@pytest.mark.parametrize("resolution", [4, 5, 9])
@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_features_are_scipys_b_splines(in_dim, resolution):
    encoding = filled(BSplineGrid(in_dim, resolution=resolution, features=2))
    x, cells = points(in_dim), resolution - 3
    knots = np.arange(-3, cells + 4) / cells
    # the axes of the table run from the last coordinate to the first
    coefficients = encoding.grid().detach().numpy()
    spline = NdBSpline((knots,) * in_dim, coefficients, 3)
    expected = spline(x.flip(1).numpy())
    torch.testing.assert_close(encoding(x), torch.from_numpy(expected), rtol=1e-12, atol=1e-12)
    outside = 2 * random_points(20, in_dim) - 0.5
    beyond = torch.from_numpy(spline(outside.flip(1).numpy()))  # the border cell's polynomial
    torch.testing.assert_close(encoding(outside), beyond, rtol=1e-10, atol=1e-10)
    for column in range(2):
        places = 1 + cells * x.flip(1).numpy().T
        filtered = map_coordinates(coefficients[..., column], places, order=3, prefilter=False)
        torch.testing.assert_close(encoding(x)[:, column], torch.from_numpy(filtered))


@pytest.mark.parametrize("in_dim", [1, 2])
def test_jacobian_and_gradients(in_dim):
    encoding = filled(BSplineGrid(in_dim, resolution=5, features=2))
    check_sparse_jacobian(encoding, random_points(6, in_dim))
    check_gradients(encoding, random_points(2, in_dim))
    assert encoding.sparse_jacobian(random_points(5, in_dim))[0].rows.shape == (5, 4**in_dim)
    assert sum(p.numel() for p in encoding.parameters()) == 2 * 5**in_dim


def test_the_second_derivative_is_continuous_at_a_knot():
    encoding = filled(BSplineGrid(1, resolution=7, features=1))
    seconds = []
    for side in (-1e-9, 1e-9):
        x = torch.tensor([[0.5 + side]], dtype=torch.float64, requires_grad=True)
        (slope,) = torch.autograd.grad(encoding(x).sum(), x, create_graph=True)
        seconds.append(torch.autograd.grad(slope.sum(), x)[0].item())
    assert seconds[0] == pytest.approx(seconds[1], rel=1e-5)


def test_equal_coefficients_make_a_constant_up_to_the_border():
    encoding = BSplineGrid(2, resolution=6, features=1).double()
    encoding.table.data.fill_(3.0)
    torch.testing.assert_close(encoding(points(2)), torch.full_like(points(2)[:, :1], 3.0))


def test_fewer_coefficients_than_a_cell_needs_are_refused():
    with pytest.raises(ParameterError, match="at least 4, for one cell"):
        BSplineGrid(2, resolution=3)
