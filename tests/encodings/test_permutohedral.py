"""The permutohedral lattice, held against its definition and the published algorithm."""

import itertools
import math

import pytest
import torch
from encbench_encodings.permutohedral import Permutohedral
from hypothesis import given, settings
from hypothesis import strategies as st

from encbench import CoordinateMLP, ParameterError
from encbench.ntk import empirical_ntk
from tests.encodings.encoding_checks import (
    border_points,
    check_gradients,
    check_sparse_jacobian,
    filled,
    random_points,
)
from tests.ntk.conftest import brute_force, relative_error

SMALL = {"levels": 3, "base_resolution": 2.0, "max_resolution": 9.0, "log2_hashmap_size": 5}


def small(in_dim: int, **settings) -> Permutohedral:
    torch.manual_seed(3)
    return filled(Permutohedral(in_dim, **{**SMALL, **settings}))


def lifted(encoding: Permutohedral, point: list[float], level: int) -> list[float]:
    """The point on the hyperplane, computed by the running sums of Adams et al."""
    d = len(point)
    scales = encoding._scales[:, 0, level].tolist()
    shift = encoding._shifts[:, 0, level].tolist()
    result, total = [0.0] * (d + 1), 0.0
    for axis in range(d, 0, -1):
        scaled = point[axis - 1] * scales[axis - 1] + shift[axis - 1]
        result[axis] = total - axis * scaled
        total += scaled
    result[0] = total
    return result


def simplex(position: list[float]) -> list[tuple[float, list[int]]]:
    """Weights and vertices around a lifted point, by sorting: a walk along the Weyl chamber.

    From the remainder-0 vertex of the point's simplex, the others follow one at a time by adding 1
    to all coordinates and subtracting d + 1 from the coordinate with the next largest difference.
    """
    m = len(position)
    below = [math.floor(y / m) * m for y in position]
    # The remainder-0 point: if the sum is too small, the largest remainders are rounded up.
    lacking = -sum(below) // m
    order = sorted(range(m), key=lambda i: below[i] - position[i])
    for i in order[:lacking]:
        below[i] += m
    differences = [y - z for y, z in zip(position, below, strict=True)]
    order = sorted(range(m), key=lambda i: -differences[i])
    ranked = [differences[i] / m for i in order]
    found = []
    for remainder in range(m):
        vertex = [z + remainder for z in below]
        for i in order[m - remainder :]:
            vertex[i] -= m
        if remainder == 0:
            weight = 1 + ranked[-1] - ranked[0]
        else:
            weight = ranked[m - 1 - remainder] - ranked[m - remainder]
        found.append((weight, vertex))
    return found


def reference(encoding: Permutohedral, point: list[float]) -> list[float]:
    table = encoding.table.tolist()
    size = len(table) // len(encoding.resolutions)
    features = []
    for level in range(len(encoding.resolutions)):
        result = [0.0] * encoding.features
        for weight, vertex in simplex(lifted(encoding, point, level)):
            key = 0
            for coordinate in vertex[:-1]:
                key = (key + coordinate) * 2531011 % 2**32
            row = table[level * size + key % size]
            result = [a + weight * b for a, b in zip(result, row, strict=True)]
        features += result
    return features


@pytest.mark.parametrize("shift", [True, False])
@pytest.mark.parametrize("in_dim", [1, 2, 3, 4])
def test_features_are_those_of_the_reference(in_dim, shift):
    encoding = small(in_dim, shift=shift)
    points = random_points(60, in_dim)
    if shift:  # unshifted borders lie on faces, where rounding selects one of two simplices
        points = torch.cat((points, border_points(in_dim)))
    expected = [reference(encoding, point) for point in points.tolist()]
    torch.testing.assert_close(
        encoding(points), torch.tensor(expected, dtype=torch.float64), rtol=1e-11, atol=1e-11
    )


@settings(deadline=None, max_examples=60)
@given(in_dim=st.integers(1, 4), shift=st.booleans(), data=st.data())
def test_barycentric_coordinates_give_the_point_back_from_lattice_vertices(in_dim, shift, data):
    point = data.draw(st.lists(st.floats(0, 1, width=32), min_size=in_dim, max_size=in_dim))
    encoding = small(in_dim, shift=shift)
    x = torch.tensor([point], dtype=torch.float64)
    vertices, weights = encoding.simplices(x)
    assert bool((weights > -1e-12).all())
    torch.testing.assert_close(weights.sum(0), torch.ones_like(weights[0]))
    # A vertex has integers with sum 0, all with the same remainder modulo d + 1.
    assert not vertices.sum(1).any()
    remainders = torch.arange(in_dim + 1).view(-1, 1, 1, 1)
    assert bool((vertices.remainder(in_dim + 1) == remainders).all())
    back = (weights.unsqueeze(1) * vertices).sum(0)[:, 0]  # (d + 1, L)
    for level in range(len(encoding.resolutions)):
        expected = torch.tensor(lifted(encoding, point, level), dtype=torch.float64)
        torch.testing.assert_close(back[:, level], expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize("in_dim", [1, 2, 3, 4])
def test_the_shortest_edge_is_one_over_the_resolution(in_dim):
    encoding = small(in_dim, levels=1, base_resolution=7.0, max_resolution=7.0).double()
    vertices, _ = encoding.simplices(random_points(50, in_dim))
    # The lift is linear with orthogonal columns of one length: undo it.
    lift = encoding._basis.double() * encoding._scales[:, 0, 0].double()
    places = torch.linalg.pinv(lift) @ vertices[:, :, :, 0].double()  # (m, d, N)
    lengths = [
        (places[a] - places[b]).norm(dim=0) for a, b in itertools.combinations(range(in_dim + 1), 2)
    ]
    shortest = torch.stack(lengths).amin(0)
    torch.testing.assert_close(shortest, torch.full_like(shortest, 1 / 7), rtol=1e-6, atol=0)
    assert torch.stack(lengths).amax() < 1.3 / 7  # nearly regular


def test_features_are_continuous_across_faces():
    encoding = small(2)
    start, end = random_points(1, 2, seed=1), random_points(1, 2, seed=2)
    steps = torch.linspace(0, 1, 20_001, dtype=torch.float64).unsqueeze(1)
    features = encoding(start + steps * (end - start))
    assert (features[1:] - features[:-1]).abs().max() < 1e-2


@pytest.mark.parametrize("in_dim", [1, 2, 3, 4])
def test_sparse_jacobian_is_the_jacobian(in_dim):
    check_sparse_jacobian(small(in_dim), random_points(12, in_dim))
    check_sparse_jacobian(small(in_dim), border_points(in_dim)[:40])


@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_gradients_agree_with_differences(in_dim):
    check_gradients(small(in_dim), random_points(4, in_dim))


@pytest.mark.parametrize(("in_dim", "log2_size"), [(2, 2), (3, 1)])
def test_its_kernel_is_the_jacobians_with_collisions_summed(in_dim, log2_size):
    torch.manual_seed(0)
    encoding = small(in_dim, log2_hashmap_size=log2_size)
    x = random_points(12, in_dim)
    blocks = encoding.sparse_jacobian(x)
    assert any(len(set(rows)) < len(rows) for rows in blocks[-1].rows.tolist())
    model = CoordinateMLP(encoding, out_dim=2, width=8, depth=1).double()
    kernel = empirical_ntk(model, x)
    assert kernel.methods["encoding.table"] == "sparse"
    expected = brute_force(model, x, "trace", ["encoding.table"])
    assert relative_error(kernel.parts["encoding"], expected) < 1e-12


def test_a_point_reads_one_vertex_more_than_it_has_coordinates():
    for in_dim in (1, 2, 3, 4):
        rows, _ = small(in_dim).rows_and_weights(random_points(5, in_dim))
        assert rows.shape == (5, 3, in_dim + 1)


def test_levels_have_tables_of_one_size():
    encoding = Permutohedral(3, levels=5, log2_hashmap_size=7, features_per_level=4)
    assert sum(p.numel() for p in encoding.parameters()) == 5 * 2**7 * 4


def test_shifts_are_drawn_with_the_seed_and_kept_with_the_state():
    torch.manual_seed(0)
    first = Permutohedral(2, **SMALL)
    torch.manual_seed(0)
    again = Permutohedral(2, **SMALL)
    other = Permutohedral(2, **SMALL)
    assert torch.equal(first._shifts, again._shifts)
    assert not torch.equal(first._shifts, other._shifts)
    other.load_state_dict(first.state_dict())
    x = random_points(5, 2).float()
    torch.testing.assert_close(other(x), first(x))


def test_both_precisions_see_the_same_lattice():
    encoding = Permutohedral(3, levels=3, max_resolution=64.0)
    encoding.table.data.normal_(generator=torch.Generator().manual_seed(0))
    x = random_points(300, 3).float()
    single = encoding(x)
    torch.testing.assert_close(single.double(), encoding.double()(x.double()), rtol=0, atol=1e-3)


def test_resolutions_grow_by_one_factor_from_the_coarsest_to_the_finest() -> None:
    encoding = Permutohedral(2, levels=4, base_resolution=2.0, max_resolution=16.0)
    assert encoding.resolutions == pytest.approx([2.0, 4.0, 8.0, 16.0])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"max_resolution": 8.0}, "max_resolution=8.0 is below base_resolution=16.0"),
        ({"levels": 1}, "levels=1 cannot have both"),
    ],
)
def test_settings_that_make_no_levels_are_refused(settings, message):
    with pytest.raises(ParameterError, match=message):
        Permutohedral(2, **settings)
