"""One interpolated grid, held against scipy's splines and against the paper's grid."""

import math

import numpy as np
import pytest
import torch
from encbench_encodings.grid import Grid
from encbench_encodings.mpe import MultigridParametricEncoding
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.interpolate import CubicHermiteSpline

from encbench import CoordinateMLP, ParameterError
from encbench.ntk import empirical_ntk
from tests.encodings.encoding_checks import (
    border_points,
    check_gradients,
    check_sparse_jacobian,
    filled,
    random_points,
)


def catmull_rom(values: np.ndarray, point: list[float]) -> np.ndarray:
    """Values (k,) at a point: Hermite splines per axis, whose slopes are central differences.

    ``values``: (n,) * d + (k,), with the first coordinate along the last axis of nodes.
    """
    for coordinate in point:  # from the last axis of nodes to the first
        axis = values.ndim - 2
        nodes = np.linspace(0, 1, values.shape[axis])
        slopes = np.gradient(values, nodes, axis=axis)  # one-sided at the ends
        values = CubicHermiteSpline(nodes, values, slopes, axis=axis)(coordinate)
    return values


@pytest.mark.parametrize("resolution", [2, 3, 7])
@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_cubic_features_are_scipys_hermite_splines_of_central_differences(in_dim, resolution):
    encoding = filled(Grid(in_dim, resolution=resolution, features=3, interpolation="cubic"))
    points = torch.cat((random_points(30, in_dim), border_points(in_dim)))
    values = encoding.grid().detach().numpy()
    expected = np.stack([catmull_rom(values, point) for point in points.tolist()])
    torch.testing.assert_close(encoding(points), torch.from_numpy(expected), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_linear_features_are_those_of_the_papers_grid(in_dim):
    encoding = filled(Grid(in_dim, resolution=6, features=3))
    paper = MultigridParametricEncoding(
        in_dim, resolutions=[6], features_per_level=3, include_input=False
    ).double()
    paper.table.data.copy_(encoding.table.data)
    points = torch.cat((random_points(30, in_dim), border_points(in_dim)))
    torch.testing.assert_close(encoding(points), paper(points), rtol=1e-14, atol=1e-14)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_sparse_jacobian_is_the_jacobian(in_dim, interpolation):
    encoding = filled(Grid(in_dim, resolution=4, features=2, interpolation=interpolation))
    check_sparse_jacobian(encoding, random_points(10, in_dim))
    check_sparse_jacobian(encoding, border_points(in_dim)[:30])
    rows = encoding.sparse_jacobian(random_points(5, in_dim))[0].rows
    assert rows.shape == (5, (2 if interpolation == "linear" else 4) ** in_dim)


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_gradients_agree_with_differences(in_dim, interpolation):
    encoding = filled(Grid(in_dim, resolution=4, features=2, interpolation=interpolation))
    check_gradients(encoding, random_points(3, in_dim))


def test_cubic_features_have_a_continuous_derivative_and_linear_ones_do_not():
    jumps = {}
    for interpolation in ("linear", "cubic"):
        encoding = filled(Grid(1, resolution=5, features=1, interpolation=interpolation))
        slopes = []
        for side in (-1e-9, 1e-9):
            x = torch.tensor([[0.5 + side]], dtype=torch.float64, requires_grad=True)
            slopes.append(torch.autograd.grad(encoding(x).sum(), x)[0].item())
        jumps[interpolation] = abs(slopes[1] - slopes[0])
    assert jumps["cubic"] < 1e-6
    assert jumps["linear"] > 0.1


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_a_function_linear_along_each_axis_is_reproduced_up_to_the_border(interpolation):
    encoding = Grid(2, resolution=7, features=1, interpolation=interpolation).double()
    axis = torch.linspace(0, 1, 7, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    encoding.grid().data[..., 0] = 2 + 3 * x - y + 5 * x * y
    points = torch.cat((random_points(50, 2), border_points(2)))
    expected = 2 + 3 * points[:, 0] - points[:, 1] + 5 * points.prod(1)
    torch.testing.assert_close(encoding(points)[:, 0], expected)


def test_a_cubic_grid_approximates_a_smooth_function_better():
    errors = {}
    x = random_points(400, 1)
    nodes = torch.linspace(0, 1, 33, dtype=torch.float64)
    for interpolation in ("linear", "cubic"):
        encoding = Grid(1, resolution=33, features=1, interpolation=interpolation).double()
        encoding.table.data[:, 0] = torch.sin(2 * math.pi * nodes)
        errors[interpolation] = (
            (encoding(x) - torch.sin(2 * math.pi * x)).square().mean().sqrt().item()
        )
    assert errors["cubic"] < 0.1 * errors["linear"]


@settings(deadline=None, max_examples=50)
@given(in_dim=st.integers(1, 3), n=st.integers(2, 9), data=st.data())
def test_weights_add_up_to_one_wherever_the_point_lies(in_dim, n, data):
    point = data.draw(st.lists(st.floats(0, 1, width=32), min_size=in_dim, max_size=in_dim))
    for interpolation in ("linear", "cubic"):
        encoding = Grid(in_dim, resolution=n, features=1, interpolation=interpolation)
        for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-14)):
            rows, weights = encoding.rows_and_weights(torch.tensor([point], dtype=dtype))
            assert weights.dtype == dtype
            assert weights.sum().item() == pytest.approx(1, abs=tolerance)
            assert 0 <= rows.min().item() <= rows.max().item() < n**in_dim


@pytest.mark.parametrize("interpolation", ["linear", "cubic"])
def test_its_kernel_is_computed_from_sparse_blocks(interpolation):
    torch.manual_seed(0)
    encoding = Grid(2, resolution=5, features=2, interpolation=interpolation)
    ntk = empirical_ntk(CoordinateMLP(encoding, 1, 8, 1), random_points(12, 2))
    assert ntk.methods["encoding.table"] == "sparse"


def test_coordinates_are_appended_on_request_and_parameters_counted():
    encoding = Grid(3, resolution=5, features=4, include_input=True)
    x = random_points(4, 3).float()
    assert encoding.out_dim == 7
    assert torch.equal(encoding(x)[:, 4:], x)
    assert sum(p.numel() for p in encoding.parameters()) == 4 * 5**3


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"interpolation": "nearest"}, "must be one of"), ({"resolution": 1}, "at least 2")],
)
def test_settings_that_make_no_grid_are_refused(settings, message):
    with pytest.raises(ParameterError, match=message):
        Grid(2, **settings)
