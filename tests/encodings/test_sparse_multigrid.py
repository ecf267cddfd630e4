"""The sparse multigrid, held against the dense one on the nodes that it stores."""

import itertools
import math

import numpy as np
import pytest
import torch
from encbench_encodings.mpe import MultigridParametricEncoding as MPE
from encbench_encodings.sparse_multigrid import SparseMultigrid
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

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

SMALL = {"resolutions": [3, 17], "features_per_level": 3}


def pixels(samples: int, in_dim: int) -> Tensor:
    axis = (torch.arange(samples, dtype=torch.float64) + 0.5) / samples
    return torch.cartesian_prod(*[axis] * in_dim).reshape(-1, in_dim)


def reference(encoding: SparseMultigrid, point: list[float]) -> list[float]:
    """Features of one point, corner by corner; a node that is not stored is 0."""
    features: list[float] = []
    for level, nodes in enumerate(encoding.resolutions):
        rows = encoding.table[encoding.starts[level] : encoding.starts[level + 1]].tolist()
        stored = dict(zip(encoding.nodes(level).tolist(), rows, strict=True))
        result = [0.0] * encoding.features
        for corner in itertools.product((0, 1), repeat=len(point)):
            weight, number = 1.0, 0
            for axis, (coordinate, upper) in enumerate(zip(point, corner, strict=True)):
                position = coordinate * (nodes - 1)
                cell = min(math.floor(position), nodes - 2)
                weight *= position - cell if upper else 1 - (position - cell)
                number += (cell + upper) * nodes**axis
            values = stored.get(number, [0.0] * encoding.features)
            result = [a + weight * b for a, b in zip(result, values, strict=True)]
        features += result
    return features + (point if encoding.include_input else [])


def dense_twin(encoding: SparseMultigrid) -> MPE:
    """The dense grid with the same values at stored nodes, and other values elsewhere."""
    dense = filled(
        MPE(
            encoding.in_dim,
            resolutions=encoding.resolutions,
            features_per_level=encoding.features,
        ),
        seed=1,
    )
    for level in range(len(encoding.resolutions)):
        own = encoding.table[encoding.starts[level] : encoding.starts[level + 1]]
        dense.table.data[dense.starts[level] + encoding.nodes(level)] = own.detach()
    return dense


@pytest.mark.parametrize("samples", [None, 1, 4])
@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_features_are_those_of_the_reference(in_dim, samples):
    encoding = filled(SparseMultigrid(in_dim, **SMALL, samples=samples))
    points = torch.cat((random_points(30, in_dim), border_points(in_dim)))
    expected = [reference(encoding, point) for point in points.tolist()]
    torch.testing.assert_close(
        encoding(points), torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=1e-13
    )


@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_it_is_the_dense_grid_at_the_samples(in_dim):
    encoding = filled(SparseMultigrid(in_dim, **SMALL, samples=4))
    dense = dense_twin(encoding)
    assert len(encoding.table) < len(dense.table)
    x = pixels(4, in_dim)
    torch.testing.assert_close(encoding(x), dense(x), rtol=1e-14, atol=1e-14)


def test_it_is_the_dense_grid_at_the_points_that_touched_it():
    points = random_points(9, 3)
    encoding = filled(SparseMultigrid.touched_by(points, **SMALL))
    dense = dense_twin(encoding)
    assert len(encoding.table) < len(dense.table)
    torch.testing.assert_close(encoding(points), dense(points), rtol=1e-14, atol=1e-14)


def test_without_samples_it_is_the_dense_grid_everywhere():
    encoding = filled(SparseMultigrid(2, **SMALL))
    dense = dense_twin(encoding)
    points = torch.cat((random_points(30, 2), border_points(2)))
    torch.testing.assert_close(encoding(points), dense(points), rtol=1e-14, atol=1e-14)


def test_away_from_the_samples_features_are_zero():
    encoding = filled(SparseMultigrid(2, resolutions=[101], samples=2, include_input=False))
    assert not encoding(torch.tensor([[0.5, 0.5]], dtype=torch.float64)).any()
    assert encoding(torch.tensor([[0.25, 0.75]], dtype=torch.float64)).all()


def test_only_nodes_of_cells_that_hold_a_sample_are_stored():
    # Samples at 1/4 and 3/4 of 16 cells: cells 4 and 12, nodes 4, 5, 12 and 13.
    encoding = SparseMultigrid(2, resolutions=[17], samples=2)
    axis = [4, 5, 12, 13]
    assert encoding.nodes(0).tolist() == [x + 17 * y for y in axis for x in axis]


def test_both_ways_to_say_which_points_touch_agree():
    regular = SparseMultigrid(2, **SMALL, samples=5)
    listed = SparseMultigrid.touched_by(pixels(5, 2), **SMALL)
    assert regular.starts == listed.starts
    for level in range(2):
        assert torch.equal(regular.nodes(level), listed.nodes(level))


@settings(deadline=None, max_examples=40)
@given(in_dim=st.integers(1, 3), data=st.data())
def test_weights_of_a_touching_point_are_a_partition_of_unity(in_dim, data):
    point = st.lists(st.floats(0, 1, width=32), min_size=in_dim, max_size=in_dim)
    points = torch.tensor(
        data.draw(st.lists(point, min_size=1, max_size=5)), dtype=torch.float64
    ).reshape(-1, in_dim)
    encoding = SparseMultigrid.touched_by(points, **SMALL)
    for dtype, tolerance in ((torch.float32, 1e-5), (torch.float64, 1e-14)):
        rows, weights = encoding.rows_and_weights(points.to(dtype))
        # In float32 a point may fall into the next cell, but its weight on the far nodes is 0.
        expected = torch.ones(len(points), 2, dtype=dtype)
        torch.testing.assert_close(weights.sum(-1), expected, rtol=0, atol=tolerance)
        for level in range(2):
            assert bool((rows[:, level] >= encoding.starts[level]).all())
            assert bool((rows[:, level] < encoding.starts[level + 1]).all())


@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_sparse_jacobian_is_the_jacobian(in_dim):
    encoding = filled(SparseMultigrid(in_dim, resolutions=[2, 9], samples=2))
    check_sparse_jacobian(encoding, random_points(12, in_dim))
    check_sparse_jacobian(encoding, border_points(in_dim)[:40])


@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_gradients_agree_with_differences(in_dim):
    encoding = filled(SparseMultigrid(in_dim, resolutions=[2, 9], samples=2))
    check_gradients(encoding, random_points(4, in_dim))


def test_its_kernel_at_the_samples_is_the_dense_grids():
    encoding = filled(SparseMultigrid(2, **SMALL, samples=4))
    models = []
    for part in (encoding, dense_twin(encoding)):
        torch.manual_seed(0)
        models.append(CoordinateMLP(part, out_dim=2, width=8, depth=1).double())
    x = pixels(4, 2)
    sparse, dense = (empirical_ntk(model, x) for model in models)
    assert sparse.methods["encoding.table"] == "sparse"
    assert relative_error(sparse.total, dense.total) < 1e-12
    other = random_points(10, 2)  # some of the nodes around these points are not touched
    expected = brute_force(models[0], other, "trace", ["encoding.table"])
    assert relative_error(empirical_ntk(models[0], other).parts["encoding"], expected) < 1e-12


@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_parameters_follow_the_touched_nodes(in_dim):
    encoding = SparseMultigrid(in_dim, resolutions=[101, 1001], samples=10, features_per_level=3)
    assert sum(p.numel() for p in encoding.parameters()) == 3 * 2 * 20**in_dim


def test_stored_nodes_come_back_with_the_state():
    points = random_points(5, 2)
    saved = filled(SparseMultigrid.touched_by(points, **SMALL))
    other = SparseMultigrid.touched_by(points, **SMALL).double()
    other.load_state_dict(saved.state_dict())
    torch.testing.assert_close(other(points), saved(points))


@pytest.mark.parametrize("samples", [None, (1 << 31) - 1])
def test_what_is_too_large_is_refused_before_its_nodes_are_listed(monkeypatch, samples):
    for library in (torch, np):
        monkeypatch.setattr(library, "arange", lambda *_, **__: pytest.fail("nodes are listed"))
    with pytest.raises(ParameterError, match=r"resolutions is too large: .* at most 2\^59"):
        SparseMultigrid(2, resolutions=[(1 << 31) - 1], samples=samples)


def test_with_samples_its_size_is_known_without_memory():
    settings = {"resolutions": [41, 91], "samples": 45}  # 2 · 45 + 1 nodes: rounding has fewer
    with torch.device("meta"):
        rows = SparseMultigrid(2, **settings).starts
    assert rows == SparseMultigrid(2, **settings).starts


@pytest.mark.parametrize("resolutions", [[], [1]])
def test_no_grid_and_a_grid_of_one_node_are_refused(resolutions):
    with pytest.raises(ParameterError, match="one or more numbers of at least 2"):
        SparseMultigrid(2, resolutions=resolutions)
