"""K-planes, held against a product of interpolated planes in plain numbers."""

from itertools import combinations

import pytest
import torch
from encbench_encodings.kplanes import KPlanes

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

SMALL = {"resolutions": [2, 3, 5], "features_per_level": 2}


def reference(encoding: KPlanes, point: list[float]) -> list[float]:
    features = []
    index = 0
    for _ in encoding.resolutions:
        product = [1.0] * encoding.features
        for pair in combinations(range(len(point)), 2):
            plane = encoding.planes.grid(index).tolist()
            values = interpolate(plane, [point[axis] for axis in pair])
            product = [a * b for a, b in zip(product, values, strict=True)]
            index += 1
        features += product
    assert index == len(encoding.planes.resolutions)
    return features


@pytest.mark.parametrize("in_dim", [2, 3, 4])
def test_features_are_those_of_the_reference(in_dim):
    encoding = filled(KPlanes(in_dim, **SMALL))
    points = torch.cat((random_points(30, in_dim), border_points(in_dim)))
    expected = [reference(encoding, point) for point in points.tolist()]
    torch.testing.assert_close(
        encoding(points), torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=1e-13
    )


@pytest.mark.parametrize("in_dim", [2, 3, 4])
def test_gradients_agree_with_differences(in_dim):
    check_gradients(filled(KPlanes(in_dim, **SMALL)), random_points(3, in_dim))


@pytest.mark.parametrize("in_dim", [2, 3, 4])
def test_sparse_jacobian_is_the_jacobian(in_dim):
    encoding = filled(KPlanes(in_dim, **SMALL))
    check_sparse_jacobian(encoding, random_points(12, in_dim))
    check_sparse_jacobian(encoding, border_points(in_dim)[:40])


@pytest.mark.parametrize("in_dim", [2, 3, 4])
def test_the_kernel_of_the_planes_is_their_jacobians(in_dim):
    torch.manual_seed(0)
    model = CoordinateMLP(KPlanes(in_dim, **SMALL), out_dim=2, width=8, depth=1).double()
    x = random_points(10, in_dim)
    kernel = empirical_ntk(model, x)
    assert kernel.methods["encoding.planes.table"] == "sparse"
    expected = brute_force(model, x, "trace", ["encoding.planes.table"])
    assert relative_error(kernel.parts["encoding"], expected) < 1e-12


@pytest.mark.parametrize(("in_dim", "planes"), [(2, 1), (3, 3), (4, 6)])
def test_every_pair_of_axes_has_a_plane_a_level(in_dim, planes):
    encoding = KPlanes(in_dim, **SMALL)
    count = sum(parameter.numel() for parameter in encoding.parameters())
    assert count == 2 * planes * (2**2 + 3**2 + 5**2)
    assert encoding.out_dim == 3 * 2


def test_planes_start_uniform_and_planes_of_time_at_one():
    torch.manual_seed(0)
    encoding = KPlanes(4)
    for index in range(len(encoding.planes.resolutions)):
        plane = encoding.planes.grid(index)
        if 3 in encoding.pairs[index % 6]:
            assert bool((plane == 1).all())
        else:
            assert 0.1 <= plane.min() < plane.max() <= 0.5
            assert plane.mean().item() == pytest.approx(0.3, abs=0.02)


def test_one_coordinate_has_no_plane():
    with pytest.raises(ParameterError, match="2 to 4 coordinates, got 1"):
        KPlanes(1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resolutions": []}, "one or more numbers of at least 2"),
        ({"resolutions": [1]}, "one or more numbers of at least 2"),
        ({"init_low": 0.6}, "init_low=0.6 is above init_high=0.5"),
    ],
)
def test_settings_that_make_no_planes_are_refused(settings, message):
    with pytest.raises(ParameterError, match=message):
        KPlanes(3, **settings)


def test_points_of_another_dimension_are_refused():
    with pytest.raises(ValueError, match="in_dim=3, got x of shape"):
        KPlanes(3, **SMALL)(random_points(4, 4))
