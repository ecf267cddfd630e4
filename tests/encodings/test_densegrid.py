"""The dense grid of tiny-cuda-nn: every vertex stored, borders that wrap."""

import pytest
import torch
from encbench_encodings.densegrid import DenseGrid
from encbench_encodings.hashgrid import HashGrid

from encbench import ParameterError
from tests.encodings import tcnn_reference
from tests.encodings.encoding_checks import (
    border_points,
    check_gradients,
    check_sparse_jacobian,
    filled,
    random_points,
)


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "smoothstep"])
@pytest.mark.parametrize("in_dim", [1, 2, 3, 4])
def test_features_are_those_of_the_reference(in_dim, interpolation):
    grid = filled(
        DenseGrid(
            in_dim, levels=3, base_resolution=2, per_level_scale=1.6, interpolation=interpolation
        )
    )
    points = torch.cat((random_points(30, in_dim), border_points(in_dim)))
    levels = tcnn_reference.levels("dense", in_dim, 3, 2, 1.6)
    expected = [
        tcnn_reference.encode("dense", point, levels, grid.table.tolist(), interpolation)
        for point in points.tolist()
    ]
    torch.testing.assert_close(
        grid(points), torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=1e-13
    )


def test_a_pyramid_of_eight_levels_has_tiny_cuda_nns_number_of_parameters():
    # 8 levels, 8 features, base 2, growth 2 in 2D, the 4 vertices of level 0 rounded up to 8
    # entries: tiny-cuda-nn's issue 468.
    grid = DenseGrid(2, levels=8, features_per_level=8, base_resolution=2, max_resolution=256)
    assert [level.resolution for level in grid.plan] == [2, 4, 8, 16, 32, 64, 128, 256]
    assert grid.table.numel() == 699_072


def test_a_single_vertex_still_takes_eight_entries():
    grid = DenseGrid(2, levels=1, features_per_level=8, base_resolution=1)
    assert grid.table.numel() == 64
    assert grid(torch.tensor([[0.0, 0.0], [1.0, 1.0]])).shape == (2, 8)


@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_one_point_on_a_grid_of_one_vertex_reads_the_padding_too(in_dim):
    grid = filled(DenseGrid(in_dim, levels=1, base_resolution=1))
    rows, weights = grid.rows_and_weights(torch.ones(1, in_dim, dtype=torch.float64))
    assert rows.max().item() == in_dim
    assert weights.unique().tolist() == [0.5**in_dim]


def test_without_collisions_the_hash_grid_is_the_dense_grid():
    settings = {"levels": 4, "base_resolution": 4, "max_resolution": 30}
    dense, hashed = filled(DenseGrid(2, **settings)), filled(HashGrid(2, **settings))
    x = torch.cat((random_points(50, 2), border_points(2)))
    assert torch.equal(dense(x), hashed(x))


@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_sparse_jacobian_is_the_jacobian(in_dim):
    grid = filled(DenseGrid(in_dim, levels=3, base_resolution=2, per_level_scale=1.6))
    check_sparse_jacobian(grid, random_points(12, in_dim))
    check_sparse_jacobian(grid, border_points(in_dim)[:40])


def test_gradients_agree_with_differences():
    grid = filled(DenseGrid(2, levels=3, base_resolution=2, per_level_scale=1.6))
    check_gradients(grid, random_points(5, 2))


def test_a_level_too_large_to_index_is_refused():
    with pytest.raises(ParameterError, match=r"1300\^3 vertices"):
        DenseGrid(3, levels=2, base_resolution=4, max_resolution=1300)
