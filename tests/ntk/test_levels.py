"""The encoding's part of the kernel by level and feature, compared with gradients per entry."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from encbench_encodings.composite import Composite
from encbench_encodings.dictionary_field import DictionaryField
from encbench_encodings.gaplanes import GAPlanes
from encbench_encodings.hashgrid import HashGrid
from encbench_encodings.kplanes import KPlanes
from encbench_encodings.mpe import MultigridParametricEncoding
from encbench_encodings.siren import Siren
from encbench_encodings.sl2a import Sl2a

from encbench import CoordinateMLP, NtkError, ParameterError
from encbench.ntk import along_eigenvectors, empirical_ntk, kernel_by_level
from tests.ntk.grids import CollidingGrid, SilentGrid

OUT, POINTS = 2, 9


def network(encoding):
    torch.manual_seed(3)
    return CoordinateMLP(encoding, OUT, 8, 2).double()


def points_of(model):
    return torch.rand(POINTS, model.in_dim, dtype=torch.float64)


def gradients(model, x, parameter):
    """(POINTS, OUT, rows, columns): one autograd call per point and output."""
    rows = [
        [torch.autograd.grad(model(point[None])[0, a], parameter)[0] for a in range(OUT)]
        for point in x
    ]
    return torch.stack([torch.stack(row) for row in rows])


def trace(part):
    """(POINTS, POINTS) mean over outputs of the products of gradients (POINTS, OUT, …)."""
    flat = part.flatten(2)
    return sum(flat[:, a] @ flat[:, a].T for a in range(OUT)) / OUT


def assert_equal(found, expected):
    assert float((found - expected).abs().max()) <= 1e-13 * float(expected.abs().max())


@pytest.mark.parametrize(
    "encoding",
    [
        MultigridParametricEncoding(2, resolutions=[3, 5], init_std=1.0),
        HashGrid(2, levels=3, base_resolution=3, max_resolution=9, log2_hashmap_size=3),
    ],
    ids=["mpe", "hashgrid"],
)
def test_a_level_is_the_rows_of_a_grid_and_a_feature_their_column(encoding) -> None:
    model = network(encoding)
    x, starts = points_of(model), encoding.starts
    table = gradients(model, x, encoding.table)
    levels = list(kernel_by_level(model, x))
    assert len(levels) == len(starts) - 1
    for level, found in enumerate(levels):
        own = table[:, :, starts[level] : starts[level + 1]]
        assert found.features == range(2 * level, 2 * level + 2)
        assert_equal(found.kernel, trace(own))
    for place, found in enumerate(kernel_by_level(model, x, by="feature")):
        level, column = divmod(place, 2)
        own = table[:, :, starts[level] : starts[level + 1], column]
        assert found.name == f"feature {place}"
        assert_equal(found.kernel, trace(own[..., None]))


def test_levels_of_products_have_the_tables_of_all_factors() -> None:
    planes = network(KPlanes(3, resolutions=[3, 4], features_per_level=2))
    x = points_of(planes)
    table, starts = (
        gradients(planes, x, planes.encoding.planes.table),
        planes.encoding.planes.starts,
    )
    coarse, fine = kernel_by_level(planes, x)
    assert (coarse.name, fine.name) == ("level 0, 3 nodes", "level 1, 4 nodes")
    assert_equal(coarse.kernel, trace(table[:, :, : starts[3]]))
    assert_equal(fine.kernel, trace(table[:, :, starts[3] :]))
    settings = {"frequencies": [2.0, 3.2], "basis_resolutions": [3, 4], "features_per_level": 2}
    field = network(DictionaryField(2, coefficient_resolution=3, **settings))
    x, basis = points_of(field), field.encoding.basis
    shared = gradients(field, x, field.encoding.coefficients.table)
    own = gradients(field, x, basis.table)
    for level, found in enumerate(kernel_by_level(field, x)):
        rows = own[:, :, basis.starts[level] : basis.starts[level + 1]]
        columns = shared[:, :, :, 2 * level : 2 * level + 2]
        assert_equal(found.kernel, trace(rows) + trace(columns))


@pytest.mark.parametrize("outputs", ["trace", "full"])
@pytest.mark.parametrize("by", ["level", "feature"])
def test_the_parts_sum_to_the_encodings_part(outputs, by) -> None:
    parts = ["mpe:resolutions=[3],features_per_level=1", "siren:features=4"]
    for encoding in (CollidingGrid(), Composite(2, parts=parts)):
        model = network(encoding)
        x = points_of(model)
        whole = empirical_ntk(model, x, outputs=outputs).parts["encoding"]
        found = list(kernel_by_level(model, x, by=by, outputs=outputs))
        assert_equal(sum(part.kernel for part in found), whole)
    assert [part.features for part in found] == [range(1), None]
    assert found[-1].name == "parts.1.linear.bias, parts.1.linear.weight"


def test_tables_that_are_added_are_levels_of_their_own() -> None:
    planes = GAPlanes(3, features=2, line_resolution=5, plane_resolution=4, volume_resolution=3)
    model = network(planes)
    x = points_of(model)
    found = list(kernel_by_level(model, x))
    assert [part.name for part in found] == ["lines, 5 nodes", "planes, 4 nodes", "volume, 3 nodes"]
    for part, grid in zip(found, (planes.lines, planes.planes, planes.volume), strict=True):
        assert_equal(part.kernel, trace(gradients(model, x, grid.table)))
    features = list(kernel_by_level(model, x, by="feature"))
    assert [part.name for part in features] == ["feature 0", "feature 1"]
    assert_equal(sum(f.kernel for f in features), sum(part.kernel for part in found))
    model = network(Sl2a(1, features=3, degree=2))
    names = [part.name for part in kernel_by_level(model, points_of(model))]
    assert names == ["norm.weight", "norm.bias", "maps.0.weight"]


def test_shares_along_eigenvectors_sum_to_the_eigenvalues() -> None:
    model = network(MultigridParametricEncoding(2, resolutions=[3, 5], init_std=1.0))
    x = points_of(model)
    ntk = empirical_ntk(model, x)
    parts = [ntk.parts["mlp"], *(part.kernel for part in kernel_by_level(model, x))]
    shares = along_eigenvectors(ntk.total, parts)
    eigenvalues, vectors = np.linalg.eigh(ntk.total.numpy())
    assert shares.sum(1) == pytest.approx(eigenvalues[::-1], rel=1e-12)
    for i, v in enumerate(vectors.T[::-1]):
        for column, part in enumerate(parts):
            assert shares[i, column] == pytest.approx(v @ part.numpy() @ v, abs=1e-10)


def test_an_encoding_without_levels_is_one_line() -> None:
    for encoding, why in ((Siren(2, features=4), "in no table"), (SilentGrid(), "in no table")):
        model = network(encoding)
        with pytest.raises(NtkError, match=f"{type(encoding).__name__} has no levels: .*{why}"):
            next(kernel_by_level(model, points_of(model)))
    model.encoding.requires_grad_(False)
    with pytest.raises(NtkError, match="no parameter of an encoding is trained"):
        next(kernel_by_level(model, points_of(model)))
    with pytest.raises(ParameterError, match="did you mean 'level'"):
        next(kernel_by_level(model, points_of(model), by="levels"))
