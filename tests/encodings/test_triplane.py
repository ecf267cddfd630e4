"""The tri-plane, held against a sum of interpolated planes in plain numbers."""

import pytest
import torch
from encbench_encodings.triplane import TriPlane

from encbench import CoordinateMLP, ParameterError
from encbench.ntk import empirical_ntk
from tests.encodings.encoding_checks import (
    border_points,
    check_gradients,
    check_sparse_jacobian,
    filled,
    random_points,
)
from tests.encodings.interpolation_reference import interpolate
from tests.ntk.conftest import brute_force, relative_error

SMALL = {"resolution": 5, "features": 3}


def test_features_are_those_of_the_reference():
    encoding = filled(TriPlane(3, **SMALL))
    points = torch.cat((random_points(30, 3), border_points(3)))
    planes = [encoding.planes.grid(index).tolist() for index in range(3)]
    expected = [
        [
            sum(values)
            for values in zip(
                interpolate(planes[0], [x, y]),
                interpolate(planes[1], [x, z]),
                interpolate(planes[2], [y, z]),
                strict=True,
            )
        ]
        for x, y, z in points.tolist()
    ]
    torch.testing.assert_close(
        encoding(points), torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=1e-13
    )


def test_the_mixed_third_derivative_of_a_sum_of_planes_is_zero():
    encoding = filled(TriPlane(3, **SMALL))
    box = torch.cartesian_prod(*[torch.tensor([0.3, 0.8], dtype=torch.float64)] * 3)
    signs = torch.tensor([1.0, -1.0], dtype=torch.float64)
    signs = torch.cartesian_prod(signs, signs, signs).prod(1)
    torch.testing.assert_close(signs @ encoding(box), torch.zeros(3, dtype=torch.float64))


def test_sparse_jacobian_is_the_jacobian():
    encoding = filled(TriPlane(3, **SMALL))
    check_sparse_jacobian(encoding, random_points(12, 3))
    check_sparse_jacobian(encoding, border_points(3)[:40])


def test_gradients_agree_with_differences():
    check_gradients(filled(TriPlane(3, **SMALL)), random_points(4, 3))


def test_the_kernel_is_sparse_and_is_the_jacobians():
    torch.manual_seed(0)
    model = CoordinateMLP(TriPlane(3, **SMALL), out_dim=2, width=8, depth=1).double()
    x = random_points(12, 3)
    kernel = empirical_ntk(model, x)
    assert kernel.methods["encoding.planes.table"] == "sparse"
    expected = brute_force(model, x, "trace", ["encoding.planes.table"])
    assert relative_error(kernel.parts["encoding"], expected) < 1e-12


def test_it_has_three_planes_of_parameters():
    assert sum(p.numel() for p in TriPlane(3, **SMALL).parameters()) == 3 * 3 * 5**2


@pytest.mark.parametrize("in_dim", [1, 2, 4])
def test_other_dimensions_than_three_are_refused(in_dim):
    with pytest.raises(ParameterError, match=f"points of 3 coordinates, got {in_dim}"):
        TriPlane(in_dim)
