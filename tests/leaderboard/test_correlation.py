"""Rank correlations between spectrum and quality."""

from __future__ import annotations

import math

import numpy as np
import pytest
from encbench_leaderboard.board.correlation import correlations, mean_rho, spearman
from encbench_leaderboard.board.table import boards
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import spearmanr

from encbench.contracts.metric import MetricValue
from tests.leaderboard.results import Results, diverged

NUMBERS = st.lists(st.integers(-5, 5), min_size=3, max_size=12)


@given(NUMBERS, NUMBERS)
def test_spearman_agrees_with_scipy_also_on_ties(x: list[int], y: list[int]) -> None:
    size = min(len(x), len(y))
    a, b = np.array(x[:size], dtype=float), np.array(y[:size], dtype=float)
    assume(len(set(a)) > 1 and len(set(b)) > 1)
    assert spearman(a, b) == pytest.approx(spearmanr(a, b).statistic, abs=1e-12)


def test_spearman_of_a_constant_is_undefined() -> None:
    assert math.isnan(spearman(np.ones(4), np.arange(4.0)))
    assert math.isnan(spearman(np.ones(1), np.ones(1)))


def test_spearman_ranks_infinities() -> None:
    rising = np.array([-np.inf, 0.0, 1.0, np.inf])
    assert spearman(rising, np.arange(4.0)) == pytest.approx(1.0)


def by_name(results: Results, when: str) -> dict[str, float]:
    task = boards(results.store.records()).tasks[0]
    return {c.statistic: c.rho for c in correlations(task, when)}


def test_a_spectrum_that_falls_slower_with_quality_correlates_positively(
    results: Results,
) -> None:
    for place in range(6):
        results.add(f"e{place}", psnr=20.0 + place, decades=20.0 - 2 * place)
    rho = by_name(results, "end")
    assert rho["median"] == pytest.approx(1.0)
    assert rho["effective_rank"] == pytest.approx(1.0)
    assert math.isnan(rho["maximum"])


def test_a_metric_that_is_better_when_lower_turns_the_sign(results: Results) -> None:
    for place in range(6):
        value = MetricValue(value=1.0 + place, direction="lower")
        results.add(
            f"e{place}", decades=20.0 - 2 * place, curve="chamfer", metrics={"chamfer": value}
        )
    assert by_name(results, "end")["median"] == pytest.approx(-1.0)


def test_eigenvalues_under_the_floor_rank_lowest_and_tied(results: Results) -> None:
    # quality 0, 1 with a median under the floor, then 2, 3 with rising medians
    for psnr, decades in ((20.0, 40.0), (21.0, 44.0), (22.0, 10.0), (23.0, 8.0)):
        results.add(f"e{psnr}", psnr=psnr, decades=decades)
    expected = spearmanr([1, 1, 2, 3], [0, 1, 2, 3]).statistic
    assert by_name(results, "end")["median"] == pytest.approx(expected)


def test_only_cells_that_finished_count(results: Results) -> None:
    for place in range(5):
        results.add(f"e{place}", psnr=20.0 + place)
    results.add("bad", psnr=None, status="diverged", error=diverged(3))
    results.add("blind", psnr=50.0, points=0)
    found = correlations(boards(results.store.records()).tasks[0], "end")
    assert {c.cells for c in found} == {5}
    assert not any(c.too_few for c in found)


def test_many_seeds_of_few_encodings_are_too_few(results: Results) -> None:
    for seed in range(3):
        for encoding in ("a", "b"):
            results.add(encoding, seed=seed, psnr=20.0 + seed)
    found = correlations(boards(results.store.records()).tasks[0], "end")
    assert {(c.cells, c.entries, c.too_few) for c in found} == {(6, 2, True)}


def test_the_mean_over_tasks_leaves_out_tasks_with_too_few_cells(results: Results) -> None:
    for place in range(5):
        results.add(f"e{place}", psnr=20.0 + place, decades=20.0 - 2 * place, task="up")
        results.add(f"e{place}", psnr=30.0 - place, decades=20.0 - 2 * place, task="down")
        if place < 3:
            results.add(f"e{place}", psnr=20.0 + place, decades=20.0 - 2 * place, task="few")
    tasks = boards(results.store.records()).tasks
    assert mean_rho(tasks, "end")["median"] == (pytest.approx(0.0, abs=1e-12), 2)
    assert math.isnan(mean_rho(tasks, "end")["maximum"][0])


def test_values_under_different_conditions_are_not_ranked_together(results: Results) -> None:
    for place, scales in enumerate((5, 5, 5, 3)):
        value = MetricValue(value=0.5 + 0.1 * place, details={"scales": scales})
        results.add(f"e{place}", curve="ms_ssim", metrics={"ms_ssim": value})
    found = correlations(boards(results.store.records()).tasks[0], "end")
    assert {c.cells for c in found} == {3}
