"""Fourier features, held against math.sin and math.cos, one feature at a time."""

import math

import pytest
import torch
from encbench_encodings.ffe import FourierFeatureEncoding as FFE
from hypothesis import given, settings
from hypothesis import strategies as st

from encbench import ParameterError
from tests.encodings.encoding_checks import border_points, check_gradients, random_points


def reference(convention: str, levels: int, point: list[float]) -> list[float]:
    if convention == "paper":
        return [
            wave(2**level * coordinate)
            for level in range(levels)
            for wave in (math.sin, math.cos)
            for coordinate in point
        ]
    if convention == "nerf":
        return [
            wave(2**level * math.pi * coordinate)
            for coordinate in point
            for level in range(levels)
            for wave in (math.sin, math.cos)
        ]
    return [
        wave(2**level * 2 * math.pi * coordinate)
        for wave in (math.sin, math.cos)
        for coordinate in point
        for level in range(levels)
    ]


@pytest.mark.parametrize("include_input", [False, True])
@pytest.mark.parametrize("convention", ["paper", "nerf", "nerfstudio"])
@pytest.mark.parametrize("in_dim", [1, 2, 3, 4])
def test_features_and_their_order_are_those_of_the_convention(in_dim, convention, include_input):
    encoding = FFE(in_dim, levels=6, convention=convention, include_input=include_input)
    points = torch.cat((random_points(20, in_dim), border_points(in_dim)))
    expected = [
        reference(convention, 6, point) + (point if include_input else [])
        for point in points.tolist()
    ]
    features = encoding(points)
    assert features.shape[1] == encoding.out_dim
    torch.testing.assert_close(
        features, torch.tensor(expected, dtype=torch.float64), rtol=0, atol=1e-13
    )


def test_nerfstudios_own_formula_gives_the_same_features():
    x = random_points(20, 3)
    frequencies = 2 ** torch.linspace(0, 4, 5, dtype=torch.float64)
    scaled = (2 * math.pi * x[..., None] * frequencies).flatten(1)
    expected = torch.sin(torch.cat([scaled, scaled + math.pi / 2], dim=-1))
    torch.testing.assert_close(
        FFE(3, levels=5, convention="nerfstudio")(x), expected, rtol=0, atol=1e-13
    )


@pytest.mark.parametrize("convention", ["paper", "nerf", "nerfstudio"])
def test_float32_errs_by_its_own_rounding_even_at_level_15(convention):
    encoding = FFE(2, levels=16, convention=convention)
    x = random_points(500, 2).float()
    expected = encoding(x.double())
    torch.testing.assert_close(encoding(x).double(), expected, rtol=0, atol=3e-7)


@settings(deadline=None)
@given(
    convention=st.sampled_from(["paper", "nerf", "nerfstudio"]),
    levels=st.integers(1, 64),
    point=st.tuples(*[st.floats(0, 1, width=32)] * 2),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_features_lie_between_minus_one_and_one(convention, levels, point, dtype):
    features = FFE(2, levels=levels, convention=convention)(torch.tensor([point], dtype=dtype))
    assert features.dtype == dtype
    assert features.abs().max() <= 1


@settings(deadline=None)
@given(point=st.tuples(*[st.floats(0, 1)] * 2), levels=st.integers(1, 10))
def test_sine_and_cosine_of_a_phase_lie_on_the_unit_circle(point, levels):
    x = torch.tensor([point], dtype=torch.float64)
    pairs = FFE(2, levels=levels)(x).view(levels, 2, 2)
    torch.testing.assert_close(
        pairs.square().sum(1), torch.ones(levels, 2, dtype=torch.float64), rtol=0, atol=1e-14
    )


@pytest.mark.parametrize(
    ("convention", "period"), [("paper", 2 * math.pi), ("nerf", 2.0), ("nerfstudio", 1.0)]
)
def test_features_repeat_after_the_lowest_waves_period(convention, period):
    encoding = FFE(1, levels=5, convention=convention)
    x = random_points(20, 1)
    torch.testing.assert_close(encoding(x + period), encoding(x), rtol=0, atol=1e-12)
    half = encoding(x + period / 2)
    assert (half - encoding(x)).abs().max() > 0.5


@pytest.mark.parametrize("convention", ["paper", "nerf", "nerfstudio"])
def test_gradients_in_x_agree_with_differences(convention):
    check_gradients(FFE(2, levels=4, convention=convention), random_points(5, 2) * 0.9 + 0.01)


def test_nothing_is_learned():
    assert list(FFE(2).parameters()) == []
    assert FFE(2).sparse_jacobian(random_points(2, 2)) is None


def test_an_unknown_convention_is_refused():
    with pytest.raises(ParameterError, match="convention must be one of"):
        FFE(2, convention="tancik")
