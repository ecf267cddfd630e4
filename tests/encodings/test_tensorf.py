"""TensoRF's two decompositions, compared with products of interpolated factors and a tensor."""

import pytest
import torch
from encbench_encodings.tensorf_cp import TensorfCP
from encbench_encodings.tensorf_vm import TensorfVM

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

SMALL = {"rank": 3, "resolution": 5}
CASES = [(TensorfCP, 2), (TensorfCP, 3), (TensorfCP, 4), (TensorfVM, 3)]


def cp_reference(encoding: TensorfCP, point: list[float]) -> list[float]:
    product = [1.0] * encoding.out_dim
    for axis, coordinate in enumerate(point):
        values = interpolate(encoding.vectors.grid(axis).tolist(), [coordinate])
        product = [a * b for a, b in zip(product, values, strict=True)]
    return product


def vm_reference(encoding: TensorfVM, point: list[float]) -> list[float]:
    x, y, z = point
    features = []
    for index, (plane, line) in enumerate((([x, y], z), ([x, z], y), ([y, z], x))):
        on_plane = interpolate(encoding.planes.grid(index).tolist(), plane)
        on_line = interpolate(encoding.lines.grid(index).tolist(), [line])
        features += [a * b for a, b in zip(on_plane, on_line, strict=True)]
    return features


@pytest.mark.parametrize(("kind", "in_dim"), CASES)
def test_features_are_those_of_the_reference(kind, in_dim):
    encoding = filled(kind(in_dim, **SMALL))
    points = torch.cat((random_points(30, in_dim), border_points(in_dim)))
    reference = cp_reference if kind is TensorfCP else vm_reference
    expected = [reference(encoding, point) for point in points.tolist()]
    torch.testing.assert_close(
        encoding(points), torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=1e-13
    )


def test_components_of_two_axes_sum_to_a_matrix_of_their_rank():
    encoding = filled(TensorfCP(2, rank=3, resolution=6))
    axis = torch.linspace(0, 1, 6, dtype=torch.float64)
    nodes = torch.cartesian_prod(axis, axis)
    matrix = encoding(nodes).sum(1).view(6, 6)
    assert torch.linalg.matrix_rank(matrix).item() == 3
    expected = encoding.vectors.grid(0) @ encoding.vectors.grid(1).t()
    torch.testing.assert_close(matrix, expected)


@pytest.mark.parametrize(("kind", "in_dim"), CASES)
def test_gradients_agree_with_differences(kind, in_dim):
    check_gradients(filled(kind(in_dim, **SMALL)), random_points(3, in_dim))


@pytest.mark.parametrize(("kind", "in_dim"), CASES)
def test_sparse_jacobian_is_the_jacobian(kind, in_dim):
    check_sparse_jacobian(filled(kind(in_dim, **SMALL)), random_points(12, in_dim))
    check_sparse_jacobian(filled(kind(in_dim, **SMALL)), border_points(in_dim)[:40])


@pytest.mark.parametrize(("kind", "in_dim"), CASES)
def test_the_kernel_of_products_is_their_jacobians(kind, in_dim):
    torch.manual_seed(0)
    encoding = kind(in_dim, **SMALL)
    model = CoordinateMLP(encoding, out_dim=2, width=8, depth=1).double()
    x = random_points(10, in_dim)
    names = [name for name, _ in model.named_parameters() if name.startswith("encoding.")]
    kernel = empirical_ntk(model, x)
    assert {kernel.methods[name] for name in names} == {"sparse"}
    assert relative_error(kernel.parts["encoding"], brute_force(model, x, "trace", names)) < 1e-12


@pytest.mark.parametrize(
    ("kind", "in_dim", "count"), [(TensorfCP, 3, 3 * 3 * 5), (TensorfVM, 3, 3 * 3 * (25 + 5))]
)
def test_factors_have_the_parameters_of_their_decomposition(kind, in_dim, count):
    assert sum(p.numel() for p in kind(in_dim, **SMALL).parameters()) == count


@pytest.mark.parametrize(
    ("kind", "in_dim", "message"),
    [
        (TensorfCP, 1, "2 to 4 coordinates, got 1"),
        (TensorfVM, 2, "points of 3 coordinates, got 2"),
    ],
)
def test_dimensions_without_the_decomposition_are_refused(kind, in_dim, message):
    with pytest.raises(ParameterError, match=message):
        kind(in_dim)


@pytest.mark.parametrize(("kind", "in_dim"), [(TensorfCP, 3), (TensorfVM, 3)])
def test_points_of_another_dimension_are_refused(kind, in_dim):
    with pytest.raises(ValueError, match="in_dim=3, got x of shape"):
        kind(in_dim)(random_points(4, 4))
