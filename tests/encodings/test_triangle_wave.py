"""Triangle waves, held against scipy's and against exact fractions."""

import math
from fractions import Fraction

import pytest
import torch
from encbench_encodings.triangle_wave import TriangleWave
from hypothesis import given
from hypothesis import strategies as st
from scipy.signal import sawtooth

from tests.encodings.encoding_checks import check_gradients, random_points


def exact(x: float, level: int) -> Fraction:
    turns = Fraction(x) * Fraction(2) ** (level - 1) + Fraction(level, 4)
    return 4 * abs(turns - math.floor(turns) - Fraction(1, 2)) - 1


@pytest.mark.parametrize("in_dim", [1, 2, 3, 4])
def test_features_are_ordered_by_coordinate_then_level(in_dim):
    encoding = TriangleWave(in_dim, levels=6)
    points = random_points(20, in_dim)
    expected = [
        [float(exact(value, level)) for value in point for level in range(6)]
        for point in points.tolist()
    ]
    torch.testing.assert_close(
        encoding(points), torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-14
    )


def test_waves_are_scipys_triangles_upside_down():
    x = torch.linspace(0, 1, 257, dtype=torch.float64)[:, None]
    features = TriangleWave(1, levels=5)(x)
    for level in range(5):
        turns = x[:, 0].numpy() * 2.0 ** (level - 1) + level / 4
        expected = -sawtooth(2 * math.pi * turns, width=0.5)
        torch.testing.assert_close(
            features[:, level], torch.from_numpy(expected), rtol=0, atol=1e-12
        )


@given(st.floats(0, 1, width=32), st.integers(1, 40))
def test_fine_levels_are_as_exact_in_float32_as_coarse_ones(x, levels):
    single = TriangleWave(1, levels=levels)(torch.tensor([[x]], dtype=torch.float32))
    assert single.dtype == torch.float32
    for level, value in enumerate(single[0].tolist()):
        assert abs(value - float(exact(x, level))) < 1e-6


def test_slopes_double_from_level_to_level():
    x = torch.tensor([[0.3]], dtype=torch.float64, requires_grad=True)
    slopes = [
        torch.autograd.grad(TriangleWave(1, levels=5)(x)[0, level], x)[0].item()
        for level in range(5)
    ]
    assert [abs(slope) for slope in slopes] == [2.0**level * 2 for level in range(5)]


def test_gradients_agree_with_differences():
    check_gradients(TriangleWave(2, levels=4), random_points(5, 2))


def test_there_is_nothing_to_learn_and_nothing_to_save():
    encoding = TriangleWave(2)
    assert list(encoding.parameters()) == []
    assert encoding.state_dict() == {}
