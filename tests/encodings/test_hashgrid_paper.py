"""The paper's hash grid, held against its equations written out in plain numbers."""

import itertools
import math
from fractions import Fraction

import pytest
import torch
from encbench_encodings.hashgrid import HashGrid
from encbench_encodings.hashgrid_paper import HashGridPaper, cells_of_levels
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

# 2, 3, 5, 9 cells: coarse levels one to one and fine ones hashed, with collisions, from d = 2 on.
SMALL = {"levels": 4, "base_resolution": 2, "per_level_scale": 1.7, "log2_hashmap_size": 4}
PRIMES = (1, 2654435761, 805459861, 3674653429)


def small(in_dim: int, **settings) -> HashGridPaper:
    return filled(HashGridPaper(in_dim, **{**SMALL, **settings}))


def reference(grid: HashGridPaper, point: list[float], size: int) -> list[float]:
    """Features of one point, level by level and corner by corner."""
    table = grid.table.tolist()
    features: list[float] = []
    start = 0
    for cells in grid.resolutions:
        scaled = [coordinate * cells for coordinate in point]
        one_to_one = (cells + 1) ** len(point) <= size
        result = [0.0] * grid.features
        for corner in itertools.product((0, 1), repeat=len(point)):
            weight, index, stride = 1.0, 0, 1
            for position, upper, prime in zip(scaled, corner, PRIMES, strict=False):
                # ⌊x⌋ and ⌈x⌉ of the paper: on a vertex both are that vertex
                low = math.floor(position)
                vertex = math.ceil(position) if upper else low
                weight *= position - low if upper else 1 - (position - low)
                if one_to_one:
                    index += vertex * stride
                    stride *= cells + 1
                else:
                    index ^= vertex * prime
            row = table[start + (index if one_to_one else index % size)]
            result = [a + weight * b for a, b in zip(result, row, strict=True)]
        features += result
        start += min((cells + 1) ** len(point), size)
    assert start == len(table)
    return features


@pytest.mark.parametrize("in_dim", [1, 2, 3, 4])
def test_features_are_those_of_the_reference(in_dim):
    grid = small(in_dim)
    points = torch.cat((random_points(40, in_dim), border_points(in_dim)))
    expected = [reference(grid, point, 2**4) for point in points.tolist()]
    torch.testing.assert_close(
        grid(points), torch.tensor(expected, dtype=torch.float64), rtol=1e-13, atol=1e-13
    )


@pytest.mark.parametrize("in_dim", [2, 3])
def test_sparse_jacobian_is_the_jacobian(in_dim):
    check_sparse_jacobian(small(in_dim), random_points(12, in_dim))
    check_sparse_jacobian(small(in_dim), border_points(in_dim)[:40])


@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_gradients_agree_with_differences(in_dim):
    check_gradients(small(in_dim, levels=3), random_points(4, in_dim))


def test_the_kernel_sums_collisions():
    torch.manual_seed(0)
    grid = small(3, log2_hashmap_size=2)
    blocks = grid.sparse_jacobian(random_points(50, 3))
    assert any(len(set(rows)) < len(rows) for rows in blocks[-1].rows.tolist())
    model = CoordinateMLP(grid, out_dim=2, width=8, depth=1).double()
    x = random_points(12, 3)
    kernel = empirical_ntk(model, x)
    assert kernel.methods["encoding.table"] == "sparse"
    expected = brute_force(model, x, "trace", ["encoding.table"])
    assert relative_error(kernel.parts["encoding"], expected) < 1e-12


def test_the_paper_reaches_its_finest_resolution_where_float32_misses_it():
    paper = HashGridPaper(2, levels=16, max_resolution=1024, log2_hashmap_size=4)
    code = HashGrid(2, levels=16, max_resolution=1024, log2_hashmap_size=4)
    assert paper.resolutions[0] == 16
    assert paper.resolutions[-1] == 1024
    assert code.plan[-1].resolution == 1025


def test_standard_settings_have_the_papers_number_of_parameters():
    # 16 -> 2048 over 16 levels: N_l = ⌊16 · 2^(7 l / 15)⌋, of which five satisfy
    # (N_l + 1)³ <= 2^19: 16, 22, 30, 42 and 58.
    grid = HashGridPaper(3)
    assert grid.resolutions[:6] == [16, 22, 30, 42, 58, 80]
    vertices = 17**3 + 23**3 + 31**3 + 43**3 + 59**3
    assert grid.table.numel() == 2 * (vertices + 11 * 2**19) == 12_197_850


def test_a_level_is_one_to_one_up_to_a_full_table():
    # (3 + 1)² = 16 = T: not hashed; with one more cell the level is hashed.
    assert HashGridPaper(2, levels=1, base_resolution=3, log2_hashmap_size=4)._dense == 1
    assert HashGridPaper(2, levels=1, base_resolution=4, log2_hashmap_size=4)._dense == 0


def test_tables_are_not_rounded_up():
    assert HashGridPaper(2, levels=1, base_resolution=2).table.shape == (9, 2)
    assert HashGrid(2, levels=1, base_resolution=3).table.shape == (16, 2)


def test_a_growth_factor_means_what_is_written():
    # the binary fraction of 1.1 is larger, and that of 1.2 smaller, than the decimal number
    assert cells_of_levels(3, 100, 1.1, None) == [100, 110, 121]
    assert cells_of_levels(3, 25, 1.2, None) == [25, 30, 36]
    assert cells_of_levels(6, 16, 2.0, None) == [16, 32, 64, 128, 256, 512]


@settings(deadline=None, max_examples=60)
@given(levels=st.integers(2, 20), lowest=st.integers(1, 64), factor=st.integers(1, 5000))
def test_resolutions_are_the_floor_of_the_exact_number(levels, lowest, factor):
    highest = lowest + factor
    cells = cells_of_levels(levels, lowest, None, highest)
    assert cells[0] == lowest
    assert cells[-1] == highest
    for level, count in enumerate(cells):
        # count <= lowest · (highest / lowest)^(level / steps) < count + 1, in exact fractions
        power = Fraction(highest, lowest) ** level
        assert Fraction(count, lowest) ** (levels - 1) <= power
        assert power < Fraction(count + 1, lowest) ** (levels - 1)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"per_level_scale": 2.0, "max_resolution": 64}, "both set the finest resolution"),
        ({"per_level_scale": 0.5}, "per_level_scale=0.5 is below 1"),
        ({"max_resolution": 8}, "max_resolution=8 is below base_resolution=16"),
        ({"levels": 1, "max_resolution": 64}, "levels=1 has base_resolution=16"),
    ],
)
def test_settings_that_make_no_levels_are_refused(settings, message):
    with pytest.raises(ParameterError, match=message):
        HashGridPaper(2, **settings)
