"""At each node of ``learned_grids``, the features are the values of the table's row for it."""

import pytest
import torch
from encbench_encodings.composite import Composite
from encbench_encodings.densegrid import DenseGrid
from encbench_encodings.ffe import FourierFeatureEncoding
from encbench_encodings.grid import Grid
from encbench_encodings.hashgrid import HashGrid
from encbench_encodings.hashgrid_paper import HashGridPaper
from encbench_encodings.kplanes import KPlanes
from encbench_encodings.mpe import MultigridParametricEncoding as MPE
from encbench_encodings.permutohedral import Permutohedral
from encbench_encodings.sparse_multigrid import SparseMultigrid
from encbench_encodings.triplane import TriPlane

from tests.encodings.encoding_checks import filled


def check_nodes(encoding, at=lambda index, nodes: index / (nodes - 1)):
    """The features at a grid's nodes, whose indices ``at`` converts to coordinates."""
    tables = dict(encoding.named_parameters())
    for grid in encoding.learned_grids():
        nodes = grid.rows.shape[0]
        index = torch.cartesian_prod(*[torch.arange(nodes, dtype=torch.float64)] * grid.rows.ndim)
        x = at(index, nodes).reshape(len(index), -1).flip(1)  # the last axis is coordinate 0
        inside = ((x >= 0) & (x <= 1)).all(1) & (grid.rows.flatten() >= 0)
        expected = tables[grid.parameter][grid.rows.flatten()[inside]]
        found = encoding(x[inside])[:, grid.start : grid.start + grid.width]
        assert inside.any()
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("dim", [1, 2, 3])
def test_nodes_of_grids_that_store_all(dim):
    check_nodes(filled(MPE(dim, resolutions=[3, 6], features_per_level=2)))
    check_nodes(filled(Grid(dim, resolution=5, interpolation="cubic")))
    check_nodes(filled(HashGridPaper(dim, levels=2, base_resolution=2, max_resolution=4)))


def test_vertices_of_tiny_cudas_grids_lie_at_half_cells():
    encoding = filled(DenseGrid(2, levels=1, base_resolution=6))
    scale = encoding.plan[0].scale
    check_nodes(encoding, lambda index, _: (index - 0.5) / scale)


def test_nodes_that_are_not_stored_have_no_row():
    encoding = filled(SparseMultigrid(2, resolutions=[4, 40], samples=5))
    coarse, fine = (grid.rows for grid in encoding.learned_grids())
    assert (coarse >= 0).all()
    assert (fine >= 0).sum() == encoding.starts[2] - encoding.starts[1] < fine.numel()
    check_nodes(encoding)


def test_hashed_levels_have_features_and_no_nodes():
    encoding = HashGrid(2, levels=4, log2_hashmap_size=8, base_resolution=4, max_resolution=64)
    grids = encoding.learned_grids()
    assert [grid.rows is None for grid in grids] == [level.hashed for level in encoding.plan]
    assert [grid.start for grid in grids] == [0, 2, 4, 6]
    assert all(grid.rows is None for grid in Permutohedral(2).learned_grids())


def test_planes_and_parts_name_their_tables():
    for planes in (KPlanes(3, resolutions=[2, 4]), TriPlane(3, resolution=4)):
        assert [tuple(grid.rows.shape) for grid in planes.learned_grids()][-1] == (4, 4)
        assert {grid.parameter for grid in planes.learned_grids()} == {"planes.table"}
        rows = torch.cat([grid.rows.flatten() for grid in planes.learned_grids()])
        assert rows.tolist() == list(range(len(planes.planes.table)))
    parts = ["ffe:levels=1", "mpe:resolutions=[3]"]
    (grid,) = Composite(2, parts=parts).learned_grids()
    assert (grid.parameter, grid.start, grid.width) == ("parts.1.table", 4, 2)
    check_nodes(filled(Composite(2, parts=parts)))


def test_an_encoding_without_tables_has_none():
    assert FourierFeatureEncoding(2).learned_grids() == ()
