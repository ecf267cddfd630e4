"""The multigrid parametric encoding, held against interpolation written out in plain numbers."""

import itertools
import math

import pytest
import torch
from encbench_encodings.mpe import MultigridParametricEncoding as MPE
from hypothesis import given, settings
from hypothesis import strategies as st

from encbench import ParameterError
from tests.encodings.encoding_checks import (
    border_points,
    check_gradients,
    check_sparse_jacobian,
    filled,
    random_points,
)


def reference(encoding: MPE, point: list[float]) -> list[float]:
    """Features of one point, corner by corner, from the published grids."""
    features = []
    for level, nodes in enumerate(encoding.resolutions):
        grid = encoding.grid(level).tolist()
        cells, fractions = [], []
        for coordinate in point:
            position = coordinate * (nodes - 1)
            cell = min(math.floor(position), nodes - 2)
            cells.append(cell)
            fractions.append(position - cell)
        result = [0.0] * encoding.features
        for corner in itertools.product((0, 1), repeat=len(point)):
            weight, node = 1.0, grid
            for bit, fraction in zip(corner, fractions, strict=True):
                weight *= fraction if bit else 1 - fraction
            for bit, cell in reversed(list(zip(corner, cells, strict=True))):
                node = node[cell + bit]
            result = [value + weight * entry for value, entry in zip(result, node, strict=True)]
        features += result
    return features + (point if encoding.include_input else [])


@pytest.mark.parametrize("include_input", [True, False])
@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_features_are_those_of_the_reference(in_dim, include_input):
    encoding = filled(
        MPE(in_dim, resolutions=[2, 5, 9], features_per_level=3, include_input=include_input)
    )
    points = torch.cat((random_points(30, in_dim), border_points(in_dim)))
    expected = [reference(encoding, point) for point in points.tolist()]
    torch.testing.assert_close(
        encoding(points), torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=1e-13
    )


@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_a_node_carries_its_own_value_at_both_borders_too(in_dim):
    encoding = filled(MPE(in_dim, resolutions=[5]))
    grid = encoding.grid(0)
    for node in itertools.product(range(5), repeat=in_dim):
        x = torch.tensor([node], dtype=torch.float64) / 4
        features = encoding(x)[0, : encoding.features]
        torch.testing.assert_close(features, grid[tuple(reversed(node))], rtol=1e-13, atol=1e-13)


def test_a_function_linear_along_each_axis_is_reproduced():
    encoding = MPE(2, resolutions=[7], features_per_level=1).double()
    axis = torch.linspace(0, 1, 7, dtype=torch.float64)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    encoding.grid(0).data[..., 0] = 2 + 3 * x - y + 5 * x * y
    points = random_points(50, 2)
    expected = 2 + 3 * points[:, 0] - points[:, 1] + 5 * points.prod(1)
    torch.testing.assert_close(encoding(points)[:, 0], expected)


def test_grids_agree_with_grid_sample():
    encoding = filled(MPE(2, resolutions=[6], features_per_level=3, include_input=False))
    points = random_points(40, 2)
    sampled = torch.nn.functional.grid_sample(
        encoding.grid(0).permute(2, 0, 1)[None],
        (2 * points - 1)[None, None],
        align_corners=True,
    )
    torch.testing.assert_close(encoding(points), sampled[0, :, 0].t())


@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_sparse_jacobian_is_the_jacobian(in_dim):
    encoding = filled(MPE(in_dim, resolutions=[2, 5]))
    check_sparse_jacobian(encoding, random_points(12, in_dim))
    check_sparse_jacobian(encoding, border_points(in_dim)[:40])


@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_gradients_agree_with_differences(in_dim):
    check_gradients(filled(MPE(in_dim, resolutions=[2, 4])), random_points(4, in_dim))


@settings(deadline=None, max_examples=50)
@given(in_dim=st.integers(1, 3), data=st.data())
def test_weights_are_a_partition_of_unity(in_dim, data):
    point = data.draw(st.lists(st.floats(0, 1, width=32), min_size=in_dim, max_size=in_dim))
    encoding = MPE(in_dim, resolutions=[2, 3, 8])
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-14)):
        rows, weights = encoding.rows_and_weights(torch.tensor([point], dtype=dtype))
        assert weights.dtype == dtype
        assert bool((weights >= -tolerance).all())
        torch.testing.assert_close(
            weights.sum(-1), torch.ones(1, 3, dtype=dtype), rtol=0, atol=tolerance
        )
        for level in range(3):
            assert bool((rows[:, level] >= encoding.starts[level]).all())
            assert bool((rows[:, level] < encoding.starts[level + 1]).all())


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(*[st.floats(0, 1)] * 2), min_size=1, max_size=8))
def test_features_stay_between_the_smallest_and_largest_value(points):
    encoding = filled(MPE(2, resolutions=[3, 6], include_input=False))
    features = encoding(torch.tensor(points, dtype=torch.float64))
    assert features.min() >= encoding.table.min() - 1e-12
    assert features.max() <= encoding.table.max() + 1e-12


@pytest.mark.parametrize(
    ("settings", "resolutions"),
    [
        ({}, [16, 64]),
        ({"levels": 3}, [16, 32, 64]),
        ({"levels": 3, "spacing": "linear"}, [16, 40, 64]),
        ({"levels": 1}, [64]),
        ({"levels": 1, "min_resolution": 44}, [44]),
        ({"levels": 1, "max_resolution": 100}, [100]),
        ({"levels": 2, "min_resolution": 96, "max_resolution": 277}, [96, 277]),
        ({"resolutions": [38, 102]}, [38, 102]),
    ],
)
def test_resolutions_follow_from_the_settings(settings, resolutions):
    assert MPE(2, **settings).resolutions == resolutions


def test_the_papers_largest_image_grid_has_200_squared_nodes_of_two_scalars():
    encoding = MPE(2, levels=1, max_resolution=200, features_per_level=2)
    assert encoding.table.numel() == 80_000
    assert encoding.out_dim == 2 + 2


def test_values_start_with_a_standard_deviation_of_a_hundredth():
    torch.manual_seed(0)
    assert MPE(2).table.std().item() == pytest.approx(0.01, rel=0.05)


def test_float32_features_are_close_to_float64():
    encoding = MPE(2, resolutions=[4, 50])
    encoding.table.data.normal_(generator=torch.Generator().manual_seed(0))
    x = random_points(200, 2).float()
    single = encoding(x)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), encoding.double()(x.double()), rtol=0, atol=5e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"resolutions": [8], "levels": 1}, "levels=1 both set the grids"),
        ({"resolutions": [8], "spacing": "linear"}, "spacing=linear both set the grids"),
        ({"min_resolution": 65}, "min_resolution=65 is above max_resolution=64"),
        ({"levels": 1, "min_resolution": 8, "max_resolution": 16}, "give one of them"),
        ({"resolutions": [1, 8]}, "one or more numbers of at least 2"),
        ({"spacing": "cubic"}, "spacing must be one of"),
    ],
)
def test_settings_that_make_no_grids_are_refused(settings, message):
    with pytest.raises(ParameterError, match=message):
        MPE(2, **settings)


def test_four_dimensions_are_refused():
    with pytest.raises(ParameterError, match="1 to 3 coordinates"):
        MPE(4)
