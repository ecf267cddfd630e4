"""The hash grid, held against tiny-cuda-nn's rules written out in plain numbers."""

import pytest
import torch
from encbench_encodings.hashgrid import HashGrid
from hypothesis import given, settings
from hypothesis import strategies as st

from encbench import ParameterError
from encbench.plugins.parameters import validate_parameters
from tests.encodings import tcnn_reference
from tests.encodings.encoding_checks import (
    border_points,
    check_gradients,
    check_sparse_jacobian,
    filled,
    random_points,
)

# Small enough that coarse levels are dense and fine ones hashed, with collisions.
SMALL = {"levels": 4, "base_resolution": 2, "per_level_scale": 1.7, "log2_hashmap_size": 5}


def small(in_dim: int, **settings) -> HashGrid:
    return filled(HashGrid(in_dim, **{**SMALL, **settings}))


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "smoothstep"])
@pytest.mark.parametrize("in_dim", [1, 2, 3, 4])
def test_features_are_those_of_the_reference(in_dim, interpolation):
    grid = small(in_dim, interpolation=interpolation)
    points = torch.cat((random_points(40, in_dim), border_points(in_dim)))
    levels = tcnn_reference.levels("hash", in_dim, 4, 2, 1.7, 5)
    table = grid.table.tolist()
    expected = [
        tcnn_reference.encode("hash", point, levels, table, interpolation)
        for point in points.tolist()
    ]
    torch.testing.assert_close(
        grid(points), torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=1e-13
    )


def test_the_levels_of_the_tests_are_dense_and_hashed():
    for in_dim in (2, 3, 4):
        assert {level.hashed for level in small(in_dim).plan} == {False, True}


def test_standard_settings_have_tiny_cuda_nns_number_of_parameters():
    # 16 levels, 2 features, T = 2^19, 16 -> 2048 in 3D: tiny-cuda-nn's issue 338.
    grid = HashGrid(3, levels=16, features_per_level=2, log2_hashmap_size=19, max_resolution=2048)
    assert sum(parameter.numel() for parameter in grid.parameters()) == 12_196_240


def test_float32_rounding_lets_1024_end_at_1025_vertices():
    grid = HashGrid(2, levels=16, max_resolution=1024, log2_hashmap_size=4)
    assert grid.plan[0].resolution == 16
    assert grid.plan[-1].resolution == 1025


def test_whole_growth_factors_give_whole_resolutions():
    grid = HashGrid(2, levels=6, base_resolution=16, per_level_scale=2.0, log2_hashmap_size=4)
    assert [level.resolution for level in grid.plan] == [16, 32, 64, 128, 256, 512]


def test_the_corner_past_the_last_vertex_wraps_to_the_next_row():
    grid = HashGrid(2, levels=1, base_resolution=4)  # scale 3: x = 1 lies at 3.5
    x = torch.tensor([[1.0, 0.5]], dtype=torch.float64)  # y at 2.0: rows 2 and 3
    rows, weights = grid.rows_and_weights(x)
    assert rows.tolist() == [[[3 + 2 * 4, 0 + 3 * 4, 3 + 3 * 4, (4 + 3 * 4) % 16]]]
    assert weights.tolist() == [[[0.5, 0.5, 0.0, 0.0]]]


def test_a_level_is_hashed_by_uint32_products_and_xor():
    grid = HashGrid(3, levels=1, base_resolution=200, log2_hashmap_size=14)
    x = torch.tensor([[(7 - 0.5) / 199, (190 - 0.5) / 199, (66 - 0.5) / 199]], dtype=torch.float64)
    x += 1e-9  # just above the vertex (7, 190, 66)
    rows, _ = grid.rows_and_weights(x)
    key = (7 * 1) ^ (190 * 2654435761 % 2**32) ^ (66 * 805459861 % 2**32)
    assert rows[0, 0, 0].item() == key % 2**14


@pytest.mark.parametrize("interpolation", ["nearest", "linear", "smoothstep"])
@pytest.mark.parametrize("in_dim", [1, 2, 3, 4])
def test_sparse_jacobian_is_the_jacobian(in_dim, interpolation):
    grid = small(in_dim, interpolation=interpolation, levels=3)
    check_sparse_jacobian(grid, random_points(12, in_dim))
    check_sparse_jacobian(grid, border_points(in_dim)[:40])


def test_colliding_corners_of_one_point_stand_twice_in_its_row():
    grid = small(3, log2_hashmap_size=3)
    blocks = grid.sparse_jacobian(random_points(50, 3))
    finest = blocks[-1].rows
    assert any(len(set(rows)) < len(rows) for rows in finest.tolist())
    check_sparse_jacobian(grid, random_points(10, 3))


@pytest.mark.parametrize("interpolation", ["linear", "smoothstep"])
@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_gradients_agree_with_differences(in_dim, interpolation):
    check_gradients(small(in_dim, interpolation=interpolation, levels=3), random_points(4, in_dim))


def test_nearest_has_no_derivative_in_x():
    x = random_points(4, 2).requires_grad_()
    (gradient,) = torch.autograd.grad(
        small(2, interpolation="nearest")(x).sum(), x, allow_unused=True
    )
    assert gradient is None or not gradient.any()


def test_smoothstep_has_no_derivative_at_a_vertex():
    grid = small(1, interpolation="smoothstep", levels=1, base_resolution=5)
    x = torch.tensor([[(2 - 0.5) / 4]], dtype=torch.float64, requires_grad=True)
    (gradient,) = torch.autograd.grad(grid(x).sum(), x)
    assert gradient.abs().item() < 1e-12


@settings(deadline=None, max_examples=50)
@given(
    in_dim=st.integers(1, 4),
    interpolation=st.sampled_from(["nearest", "linear", "smoothstep"]),
    data=st.data(),
)
def test_weights_are_a_partition_of_unity_and_rows_stay_in_their_level(in_dim, interpolation, data):
    coordinate = st.floats(0, 1, width=32)
    point = data.draw(st.lists(coordinate, min_size=in_dim, max_size=in_dim))
    grid = HashGrid(in_dim, **SMALL, interpolation=interpolation)
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-14)):
        rows, weights = grid.rows_and_weights(torch.tensor([point], dtype=dtype))
        assert weights.dtype == dtype
        assert bool((weights >= 0).all())
        torch.testing.assert_close(
            weights.sum(-1), torch.ones(1, len(grid.plan), dtype=dtype), rtol=0, atol=tolerance
        )
        for level in range(len(grid.plan)):
            assert bool((rows[:, level] >= grid.starts[level]).all())
            assert bool((rows[:, level] < grid.starts[level + 1]).all())


@settings(deadline=None, max_examples=30)
@given(st.lists(st.tuples(*[st.floats(0, 1)] * 2), min_size=1, max_size=8))
def test_features_stay_between_the_smallest_and_largest_entry(points):
    grid = small(2)
    features = grid(torch.tensor(points, dtype=torch.float64))
    assert features.min() >= grid.table.min() - 1e-12
    assert features.max() <= grid.table.max() + 1e-12


def test_float32_features_are_close_to_float64():
    grid = HashGrid(2, levels=4, base_resolution=4, per_level_scale=1.7)
    grid.table.data.normal_(generator=torch.Generator().manual_seed(0))
    x = random_points(200, 2).float()
    single = grid(x)
    assert single.dtype == torch.float32
    torch.testing.assert_close(single.double(), grid.double()(x.double()), rtol=0, atol=2e-5)


def test_float64_points_keep_their_precision_in_a_float32_grid():
    grid = HashGrid(2, levels=4, base_resolution=4, per_level_scale=1.7)
    x = random_points(20, 2)
    assert grid.sparse_jacobian(x)[0].weights.dtype == torch.float64
    assert grid(x).dtype == torch.float32


def test_changing_the_precision_and_back_changes_nothing():
    grid = HashGrid(2, **SMALL)
    x = random_points(50, 2).float()
    before = grid(x)
    assert torch.equal(grid.double().float()(x), before)


def test_entries_start_uniform_within_the_scale():
    torch.manual_seed(0)
    table = HashGrid(2, levels=4).table
    assert table.abs().max() <= 1e-4
    assert table.std().item() == pytest.approx(1e-4 / 3**0.5, rel=0.02)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam", "AdamW", "RMSprop"])
def test_every_optimizer_takes_the_default_gradient(optimizer):
    grid = HashGrid(2, **SMALL)
    before = grid.table.detach().clone()
    step = getattr(torch.optim, optimizer)(grid.parameters(), lr=0.1)
    (grid(random_points(8, 2).float()) - 1).pow(2).sum().backward()
    step.step()
    assert not torch.equal(grid.table, before)


def test_sparse_gradients_step_as_dense_ones_in_sgd():
    x = random_points(8, 2).float()
    tables = []
    for sparse in (False, True):
        torch.manual_seed(0)
        grid = HashGrid(2, **SMALL, sparse_gradients=sparse)
        step = torch.optim.SGD(grid.parameters(), lr=0.1)
        (grid(x) - 1).pow(2).sum().backward()
        assert grid.table.grad.is_sparse is sparse
        step.step()
        tables.append(grid.table.detach())
    torch.testing.assert_close(*tables)


def test_sparse_gradients_suit_sparse_adam():
    grid = HashGrid(2, **SMALL, sparse_gradients=True)
    step = torch.optim.SparseAdam(grid.parameters(), lr=0.1)
    x = random_points(8, 2).float()
    losses = []
    for _ in range(30):
        step.zero_grad()
        loss = (grid(x) - 1).pow(2).mean()
        loss.backward()
        step.step()
        losses.append(loss.item())
    assert losses[-1] < 0.1 * losses[0]


def test_the_state_is_the_table():
    grid = HashGrid(2, **SMALL)
    assert list(grid.state_dict()) == ["table"]
    other = HashGrid(2, **SMALL)
    other.load_state_dict(grid.state_dict())
    x = random_points(5, 2).float()
    assert torch.equal(grid(x), other(x))


def test_points_of_another_dimension_are_refused():
    with pytest.raises(ValueError, match=r"in_dim=2, got x of shape \(4, 1\)"):
        HashGrid(2, **SMALL)(torch.zeros(4, 1))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"per_level_scale": 2.0, "max_resolution": 64}, "give one of them"),
        ({"max_resolution": 8}, "max_resolution=8 is below base_resolution=16"),
        ({"levels": 1, "max_resolution": 64}, "levels=1"),
        ({"per_level_scale": 0.5}, "per_level_scale=0.5 is below 1"),
        ({"interpolation": "Nearest"}, "interpolation must be one of"),
    ],
)
def test_settings_that_make_no_grid_are_refused(settings, message):
    with pytest.raises(ParameterError, match=message):
        HashGrid(2, **settings)


@pytest.mark.parametrize(
    ("name", "least", "below"),
    [
        ("base_resolution", 1, 0),
        ("per_level_scale", 1.0, 0.99),
        ("init_scale", 0.0, -1e-9),
    ],
)
def test_a_parameter_may_be_as_small_as_the_rules_allow_and_no_smaller(name, least, below):
    asked = {"levels": 2, "log2_hashmap_size": 4, name: least}
    valid = validate_parameters("encoding", "hashgrid", HashGrid, asked)
    assert HashGrid(2, **valid)(random_points(5, 2).float()).shape == (5, 4)
    with pytest.raises(ParameterError, match=name):
        validate_parameters("encoding", "hashgrid", HashGrid, asked | {name: below})


def test_a_table_has_at_most_2_to_the_30_entries():
    validate_parameters("encoding", "hashgrid", HashGrid, {"log2_hashmap_size": 30})
    for name, value in (("log2_hashmap_size", 31), ("max_resolution", 0)):
        with pytest.raises(ParameterError, match=f"{name}={value} is not valid"):
            validate_parameters("encoding", "hashgrid", HashGrid, {name: value})


def test_levels_may_all_have_the_same_resolution():
    grid = HashGrid(2, levels=3, base_resolution=8, max_resolution=8, log2_hashmap_size=6)
    assert [level.resolution for level in grid.plan] == [8, 8, 8]


def test_five_dimensions_are_refused():
    with pytest.raises(ParameterError, match="1 to 4 coordinates"):
        HashGrid(5)
