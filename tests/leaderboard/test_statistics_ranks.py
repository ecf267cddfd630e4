"""Ranks compatible with the tests."""

from __future__ import annotations

import numpy as np
import pytest
from encbench_leaderboard.statistics.pairs import compare_all
from encbench_leaderboard.statistics.ranks import rank_intervals, ranks_with_failures
from encbench_leaderboard.statistics.sample import Cube
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import rankdata


def allowed(values: np.ndarray, *, higher: bool = True) -> list[tuple[int, int]]:
    """Rank intervals of entries (entries, units)."""
    found = compare_all(Cube(tuple(map(str, range(len(values)))), values[:, :, None]))
    means = values.mean(axis=1)
    ranks = rankdata(-means if higher else means, method="min")
    low, high = rank_intervals(found, ranks, len(values), higher=higher)
    return list(zip(low.tolist(), high.tolist(), strict=True))


def around(means: list[float], spread: float, units: int = 5) -> np.ndarray:
    rng = np.random.default_rng(1)
    return np.array(means)[:, None] + rng.normal(0, spread, (len(means), units))


def test_what_is_far_apart_has_one_rank() -> None:
    assert allowed(around([20, 40, 30], 0.01)) == [(3, 3), (1, 1), (2, 2)]


def test_what_is_close_shares_its_ranks() -> None:
    assert allowed(around([40, 30.0, 30.001, 20], 0.05)) == [(1, 1), (2, 3), (2, 3), (4, 4)]


def test_lower_may_be_better() -> None:
    assert allowed(around([0.1, 0.3, 0.2], 0.0001), higher=False) == [(1, 1), (3, 3), (2, 2)]


def test_one_unit_allows_every_rank() -> None:
    assert allowed(around([20, 40, 30], 0.1, units=1)) == [(1, 3)] * 3


def test_those_not_tested_are_told_from_none() -> None:
    values = around([40, 30], 0.01)[:, :, None]
    found = compare_all(Cube(("a", "b"), values))
    low, high = rank_intervals(found, np.array([1.0, 2.0]), 5, higher=True)
    assert (low.tolist(), high.tolist()) == ([1, 2], [4, 5])


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 6), st.integers(1, 8), st.floats(0.01, 3))
def test_the_rank_by_value_is_always_among_them(
    seed: int, entries: int, units: int, spread: float
) -> None:
    rng = np.random.default_rng(seed)
    values = rng.normal(30, 1, (entries, 1)) + rng.normal(0, spread, (entries, units))
    ranks = rankdata(-values.mean(axis=1), method="min")
    for rank, (low, high) in zip(ranks, allowed(values), strict=True):
        assert 1 <= low <= rank <= high <= entries


def test_nearly_all_tables_hold_all_true_ranks() -> None:
    rng = np.random.default_rng(8)
    truth = np.array([30.0, 30.2, 31.0, 33.0])
    ranks = rankdata(-truth, method="min")
    held = 0
    for _ in range(300):
        found = allowed(truth[:, None] + rng.normal(0, 0.3, (4, 4)))
        held += all(low <= r <= high for r, (low, high) in zip(ranks, found, strict=True))
    assert held / 300 == pytest.approx(1.0, abs=0.07)


@given(st.lists(st.floats(allow_nan=False, width=16) | st.integers(-2, 2).map(float), max_size=30))
def test_equal_values_share_the_mean_of_their_ranks(values: list[float]) -> None:
    found = ranks_with_failures(np.array(values, dtype=np.float64), higher=False)
    assert found.tolist() == rankdata(values).tolist()
