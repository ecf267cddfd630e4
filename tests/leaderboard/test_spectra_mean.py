"""Means of spectra: resampled as in the paper, with bounds for values below the floor."""

from __future__ import annotations

import math

import numpy as np
import pytest
from encbench_leaderboard.board.spectra_mean import LENGTH, mean_spectrum
from hypothesis import given, settings
from hypothesis import strategies as st

FLOOR = 1e-6


def reference(
    spectra: list[tuple[list[float], float]], groups: list[int], length: int
) -> tuple[list[float], list[float]]:
    """Mean and share resolved at each place, one value at a time; NaN below half."""
    means, shares = [], []
    for place in range(length):
        logs: dict[int, list[float]] = {}
        seen: dict[int, list[float]] = {}
        for (values, floor), group in zip(spectra, groups, strict=True):
            ordered = sorted(values, reverse=True)
            at = place / (length - 1) * (len(values) - 1)
            left = min(math.floor(at + 1e-12), len(values) - 1)
            right = left if at - left < 1e-9 else left + 1
            if ordered[right] > floor:
                a, b = math.log(ordered[left]), math.log(ordered[right])
                logs.setdefault(group, []).append(a + (b - a) * (at - left))
                seen.setdefault(group, []).append(1.0)
            else:
                logs.setdefault(group, []).append(math.log(floor))
                seen.setdefault(group, []).append(0.0)
        share = sum(sum(s) / len(s) for s in seen.values()) / len(seen)
        mean = math.exp(sum(sum(x) / len(x) for x in logs.values()) / len(logs))
        means.append(mean if share > 0.5 - 1e-9 else math.nan)
        shares.append(share)
    return means, shares


eigenvalues = st.lists(
    st.one_of(st.floats(1e-5, 1e4), st.floats(-1e-7, 1e-7)), min_size=2, max_size=9
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(eigenvalues, st.integers(0, 2)), min_size=1, max_size=5),
    st.integers(2, 23),
)
def test_the_mean_is_the_plain_one(drawn: list[tuple[list[float], int]], length: int) -> None:
    spectra = [(values, FLOOR) for values, _ in drawn]
    groups = [group for _, group in drawn]
    found = mean_spectrum([(np.array(v), f) for v, f in spectra], groups, length=length)
    means, shares = reference(spectra, groups, length)
    np.testing.assert_allclose(found.mean, means, rtol=1e-6)
    np.testing.assert_allclose(found.resolved, shares, atol=1e-12)
    below = sum(v <= FLOOR for values, _ in spectra for v in values)
    assert found.below == pytest.approx(below / sum(len(v) for v, _ in spectra))


def test_one_spectrum_at_its_own_length_is_itself() -> None:
    values = np.geomspace(1e3, 1e-3, 200)
    found = mean_spectrum([(values[::-1], FLOOR)], length=200)
    np.testing.assert_allclose(found.mean, values, rtol=1e-12)
    np.testing.assert_allclose(found.low, values, rtol=1e-12)
    assert not found.bounded.any()


def test_the_paper_s_length_is_the_default() -> None:
    found = mean_spectrum([(np.geomspace(1e3, 1e-3, n), FLOOR) for n in (50, 300)])
    assert found.mean.shape == (LENGTH,) == (8000,)
    # the same curve sampled at two sizes
    np.testing.assert_allclose(found.mean, np.geomspace(1e3, 1e-3, LENGTH), rtol=1e-9)


def test_decades_are_averaged_as_logarithms() -> None:
    found = mean_spectrum([(np.full(4, 1e4), FLOOR), (np.full(4, 1e-2), FLOOR)], length=4)
    np.testing.assert_allclose(found.mean, 10.0)


def test_rounding_noise_cannot_move_the_curve() -> None:
    whole = np.geomspace(1e2, 1e-4, 8)
    curves = []
    for noise in (1e-7, 1e-12, 0.0, -1e-9):
        short = np.where(np.arange(8) < 5, whole, noise)
        curves.append(mean_spectrum([(whole, FLOOR), (short, FLOOR)], length=50))
    for other in curves[1:]:
        np.testing.assert_array_equal(curves[0].mean, other.mean)
        np.testing.assert_array_equal(curves[0].low, other.low)


def test_where_some_are_under_the_floor_the_mean_bounds_the_true_one_from_above() -> None:
    """In a copy of the spectra, the true values below the floor are replaced by 0."""
    true = [np.geomspace(1e2, last, 64) for last in (1e-4, 1e-9, 1e-3, 1e-11)]
    seen = mean_spectrum([(np.where(v > FLOOR, v, 0.0), FLOOR) for v in true], length=64)
    exact = mean_spectrum([(v, 0.0) for v in true], length=64)
    assert seen.bounded.any()
    drawn = ~np.isnan(seen.mean)
    assert (seen.mean[drawn] >= exact.mean[drawn] * (1 - 1e-12)).all()
    sure = drawn & ~seen.bounded
    np.testing.assert_allclose(seen.mean[sure], exact.mean[sure], rtol=1e-9)


def test_under_half_resolved_nothing_is_said() -> None:
    cut = np.where(np.arange(10) < 4, 1.0, 0.0)
    found = mean_spectrum([(np.ones(10), FLOOR), (cut, FLOOR), (cut, FLOOR)], length=10)
    assert np.isnan(found.mean).tolist() == [False] * 4 + [True] * 6
    assert np.isnan(found.high).tolist() == np.isnan(found.mean).tolist()


def test_an_image_with_more_seeds_does_not_weigh_more() -> None:
    spectra = [(np.full(3, value), FLOOR) for value in (1e2, 1e2, 1e2, 1.0)]
    found = mean_spectrum(spectra, ["a", "a", "a", "b"], length=3)
    np.testing.assert_allclose(found.mean, 10.0)
    assert found.groups == 2


def test_the_band_holds_the_tenth_to_the_ninetieth_percentile() -> None:
    tops = 10.0 ** np.arange(11)
    found = mean_spectrum([(np.full(2, top), FLOOR) for top in tops], length=2)
    np.testing.assert_allclose(found.low, 1e1)
    np.testing.assert_allclose(found.high, 1e9)


@pytest.mark.parametrize(
    ("spectra", "options", "said"),
    [
        ([], {}, "no spectrum"),
        ([(np.empty(0), FLOOR)], {}, "0 eigenvalues"),
        ([(np.array([1.0, -1e-9]), 0.0)], {}, "a positive floor unless"),
        ([(np.ones(3), FLOOR)], {"length": 1}, "at least 2"),
        ([(np.ones(3), FLOOR)], {"groups": ["a", "b"]}, "1 spectra but 2 groups"),
    ],
)
def test_what_cannot_be_averaged_is_refused(spectra, options, said) -> None:
    with pytest.raises(ValueError, match=said):
        mean_spectrum(spectra, **options)
