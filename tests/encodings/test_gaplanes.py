"""GA-Planes, compared with torch's grid_sample, which the authors' code uses."""

import pytest
import torch
from encbench_encodings.gaplanes import GAPlanes
from torch.nn.functional import grid_sample

from encbench import ParameterError
from tests.encodings.encoding_checks import (
    border_points,
    check_gradients,
    filled,
    random_points,
)

SMALL = {"features": 3, "line_resolution": 6, "plane_resolution": 4, "volume_resolution": 3}


def sampled(values: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
    """A grid (n_k, …, n_1, F) interpolated at x (N, k) in [0, 1]; lines as planes of equal rows."""
    if x.shape[1] == 1:
        values, x = values.expand(2, *values.shape), torch.cat((x, x), dim=1)
    places = (2 * x - 1).view(1, *[1] * (x.shape[1] - 1), len(x), x.shape[1])
    found = grid_sample(values.movedim(-1, 0).unsqueeze(0), places, align_corners=True)
    return found.reshape(values.shape[-1], len(x)).t()


@pytest.mark.parametrize("in_dim", [2, 3])
def test_features_are_sums_of_products_of_sampled_grids(in_dim):
    encoding = filled(GAPlanes(in_dim, **SMALL))
    x = torch.cat((random_points(30, in_dim), border_points(in_dim)))
    line = [sampled(encoding.lines.grid(axis), x[:, [axis]]) for axis in range(in_dim)]
    if in_dim == 2:
        expected = line[0] * line[1] + sampled(encoding.planes.grid(0), x)
    else:
        yz, xz, xy = (
            sampled(encoding.planes.grid(number), x[:, axes])
            for number, axes in enumerate(([1, 2], [0, 2], [0, 1]))
        )
        expected = line[0] * line[1] * line[2] + xy * line[2] + yz * line[0] + xz * line[1]
        expected = expected + sampled(encoding.volume.grid(), x)
    torch.testing.assert_close(encoding(x), expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("in_dim", [2, 3])
def test_every_parameter_is_at_a_node_of_a_grid(in_dim):
    encoding = filled(GAPlanes(in_dim, **SMALL))
    count = 3 * (2 * 6 + 4**2) if in_dim == 2 else 3 * (3 * 6 + 3 * 4**2 + 3**3)
    assert sum(p.numel() for p in encoding.parameters()) == count
    tables = dict(encoding.named_parameters())
    assert sum(g.rows.numel() for g in encoding.learned_grids()) == count / 3
    assert {g.parameter for g in encoding.learned_grids()} == set(tables)


def test_gradients_agree_with_differences():
    small = {"features": 1, "line_resolution": 3, "plane_resolution": 2, "volume_resolution": 2}
    check_gradients(filled(GAPlanes(3, **small)), random_points(2, 3))


def test_one_coordinate_is_refused():
    with pytest.raises(ParameterError, match="points of 2 to 3 coordinates, got 1"):
        GAPlanes(1)
