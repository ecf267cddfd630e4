"""The tiled grid of tiny-cuda-nn: the coarsest level's entries, repeated."""

import pytest
import torch
from encbench_encodings.tiledgrid import TiledGrid

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
@pytest.mark.parametrize("base", [3, 4])
def test_features_are_those_of_the_reference(in_dim, interpolation, base):
    grid = filled(
        TiledGrid(
            in_dim,
            levels=4,
            base_resolution=base,
            per_level_scale=1.9,
            interpolation=interpolation,
        )
    )
    points = torch.cat((random_points(30, in_dim), border_points(in_dim)))
    levels = tcnn_reference.levels("tiled", in_dim, 4, base, 1.9)
    expected = [
        tcnn_reference.encode("tiled", point, levels, grid.table.tolist(), interpolation)
        for point in points.tolist()
    ]
    torch.testing.assert_close(
        grid(points), torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=1e-13
    )


@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_no_level_holds_more_than_the_coarsest_grid(in_dim):
    grid = TiledGrid(in_dim, levels=5, base_resolution=3)
    assert [level.entries for level in grid.plan] == [3**in_dim] * 5


def test_powers_of_two_repeat_the_tile_along_the_first_axis():
    grid = filled(TiledGrid(2, levels=2, base_resolution=4, per_level_scale=4.0))
    scale = grid.plan[1].scale  # 15: 16 vertices per axis, a tile of 16 entries

    x = random_points(20, 2) * 0.2
    moved = x + torch.tensor([0.0, 4 / scale], dtype=torch.float64)
    fine = slice(2, 4)
    torch.testing.assert_close(grid(x)[:, fine], grid(moved)[:, fine])


@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_sparse_jacobian_is_the_jacobian(in_dim):
    grid = filled(TiledGrid(in_dim, levels=3, base_resolution=2, per_level_scale=2.3))
    check_sparse_jacobian(grid, random_points(12, in_dim))
    check_sparse_jacobian(grid, border_points(in_dim)[:40])


def test_gradients_agree_with_differences():
    grid = filled(TiledGrid(2, levels=3, base_resolution=3, per_level_scale=2.3))
    check_gradients(grid, random_points(5, 2))


def test_defaults_can_be_built_in_every_dimension():
    finest = [TiledGrid(in_dim).plan[-1].resolution for in_dim in (1, 2, 3, 4)]
    assert finest == [513, 513, 513, 128]


def test_a_level_too_fine_to_index_is_refused():
    with pytest.raises(ParameterError, match="lower max_resolution"):
        TiledGrid(3, max_resolution=4096)
