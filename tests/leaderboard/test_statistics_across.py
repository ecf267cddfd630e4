"""Ranks and tests over tasks."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from encbench_leaderboard.board.overview import overview
from encbench_leaderboard.board.table import boards
from encbench_leaderboard.report.notes import overview_note
from encbench_leaderboard.report.tables import overview_table
from encbench_leaderboard.statistics.across import friedman_p, sign_tests
from encbench_leaderboard.statistics.ranks import ranks_with_failures
from scipy import stats

from tests.leaderboard.results import Results, diverged


@pytest.mark.parametrize("shift", [0.0, 0.25, 0.5])
def test_friedmans_test_of_many_tasks_is_scipys(shift: float) -> None:
    rng = np.random.default_rng(3)
    values = rng.normal(0, 1, (60, 4)) + shift * np.array([0, 0, 0, 1])
    ranks = np.stack([ranks_with_failures(row, higher=True) for row in values])
    expected = stats.friedmanchisquare(*values.T).pvalue
    assert friedman_p(ranks) == pytest.approx(expected, abs=0.02, rel=0.05)


@pytest.mark.parametrize("tasks", [2, 3])
def test_friedmans_test_of_few_tasks_is_that_of_all_shuffles(tasks: int) -> None:
    ranks = np.array([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.5, 1.5, 3.0]])[:tasks]
    observed = (ranks.sum(axis=0) ** 2).sum()
    shuffles = itertools.product(*[list(itertools.permutations(row)) for row in ranks])
    sums = [(np.sum(s, axis=0) ** 2).sum() >= observed - 1e-9 for s in shuffles]
    exact = sum(sums) / len(sums)
    assert friedman_p(ranks) == pytest.approx(exact, abs=4 * math.sqrt(exact / 4999))


def test_no_p_is_below_one_in_as_many_shuffles_as_there_were() -> None:
    assert friedman_p(np.tile([1.0, 2.0, 3.0, 4.0], (30, 1))) == 1 / 5000


def test_ties_everywhere_have_no_test() -> None:
    assert math.isnan(friedman_p(np.full((6, 3), 2.0)))
    assert math.isnan(sign_tests(np.full((6, 2), 1.5))[0].adjusted)


def test_equal_values_share_their_mean_rank_and_failures_those_after_all() -> None:
    values = np.array([30.0, math.nan, 40.0, 30.0, math.nan])
    assert list(ranks_with_failures(values, higher=True)) == [2.5, 4.5, 1.0, 2.5, 4.5]
    assert list(ranks_with_failures(values, higher=False)) == [1.5, 4.5, 3.0, 1.5, 4.5]
    assert list(ranks_with_failures(np.full(3, math.nan), higher=True)) == [2.0, 2.0, 2.0]
    assert list(ranks_with_failures(np.array([math.nan, math.inf]), higher=False)) == [2.0, 1.0]


@pytest.mark.parametrize(
    ("won", "lost", "tied"), [(9, 1, 0), (5, 0, 2), (3, 3, 1), (0, 7, 0), (1, 0, 4)]
)
def test_the_sign_test_is_the_binomial_test(won: int, lost: int, tied: int) -> None:
    ranks = np.array([[1.0, 2.0]] * won + [[2.0, 1.0]] * lost + [[1.5, 1.5]] * tied)
    found = sign_tests(ranks)[0]
    assert (found.won, found.lost, found.tied) == (won, lost, tied)
    expected = stats.binomtest(won, won + lost).pvalue
    assert found.adjusted == pytest.approx(expected)


def fill(results: Results, tasks: int) -> None:
    for task in range(tasks):
        for encoding, psnr in (("a", 40.0), ("b", 30.0), ("c", 20.0)):
            results.add(encoding, task=f"t{task}", psnr=psnr + task, pictures=False)


def test_over_few_tasks_nothing_is_tested(results: Results) -> None:
    fill(results, 4)
    found = overview(boards(results.store.records()))
    assert found.tests is None
    assert "not tested" in overview_note(found)
    fill(results, 5)
    assert overview(boards(results.store.records())).tests is not None


def test_over_many_tasks_wins_tell_encodings_apart(results: Results) -> None:
    fill(results, 8)
    results.add("once", task="t0", psnr=90.0, pictures=False)
    found = overview(boards(results.store.records()))
    assert found.entries == ("a", "b", "c", "once")
    assert found.tests is not None
    # "once" was the best on t0, but was not run on the others
    assert found.tests.entries == ("a", "b", "c")
    assert [(w.won, w.lost) for w in found.tests.wins] == [(8, 0)] * 3
    assert all(w.adjusted == pytest.approx(3 * 2 / 2**8) for w in found.tests.wins)
    text = overview_note(found)
    assert "`a` before `b` (8:0)" in text
    assert "differ in rank" in text


def test_another_setting_on_one_task_does_not_split_an_entry(results: Results) -> None:
    for task in range(6):
        for encoding, psnr, lr in (("a", 40.0, 0.1), ("b", 30.0, 0.1), ("a", 50.0, 0.2)):
            if lr == 0.1 or not task:
                training = {"steps": 10 + task, "lr": lr}
                results.add(encoding, task=f"t{task}", psnr=psnr, training=training, pictures=False)
    found = overview(boards(results.store.records()))
    assert found.entries == ("a · lr=0.1", "b", "a · lr=0.2")
    assert list(found.finished) == [6, 6, 1]
    assert "`a · lr=0.1` before `b` (6:0)" in overview_note(found)


def test_many_tasks_without_two_common_encodings_are_not_called_few(results: Results) -> None:
    for task in range(6):
        for encoding in ("a", f"b{task}"):
            results.add(encoding, task=f"t{task}", pictures=False)
    text = overview_note(overview(boards(results.store.records())))
    assert "fewer than two encodings were run on all 6 tasks" in text


def test_an_encoding_that_did_not_finish_ranks_after_all_that_did(results: Results) -> None:
    fill(results, 2)
    for place in range(2):
        error = diverged(3)
        results.add(f"z{place}", task="t0", psnr=None, status="diverged", error=error)
    found = overview(boards(results.store.records()))
    assert found.ranks[found.entries.index("z0"), 0] == 4.5
    assert found.tasks(found.entries.index("z0")) == 1


def test_what_finished_on_few_tasks_stands_below_what_finished_on_more(results: Results) -> None:
    fill(results, 3)
    for task in range(3):
        results.add(
            "z",
            task=f"t{task}",
            psnr=90.0 if not task else None,
            status="ok" if not task else "failed",
        )
    for encoding, psnr in (("y", 90.0), ("z", None)):
        results.add(encoding, task="t3", psnr=psnr, status="ok" if psnr else "failed")
    found = overview(boards(results.store.records()))
    assert found.entries == ("a", "b", "c", "y", "z")
    last = overview_table(found).rows[-1]
    assert [value.text for value in last.values[:3]] == ["z", "2.75", "1 of 4"]
