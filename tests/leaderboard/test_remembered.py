"""What is said of a board twice is worked out once."""

from __future__ import annotations

import gc
import weakref

from encbench_leaderboard.board.cached import remembered
from encbench_leaderboard.board.conditions import metric_conditions
from encbench_leaderboard.board.correlation import correlations
from encbench_leaderboard.board.table import boards

from tests.leaderboard.results import Results


class Thing:
    """Told by its identity."""


def test_the_same_question_about_the_same_thing_is_answered_once() -> None:
    asked = []

    @remembered
    def answer(thing: Thing, word: str) -> str:
        asked.append((thing, word))
        return word * 2

    one, other = Thing(), Thing()
    assert [answer(one, "a"), answer(one, "a"), answer(one, "b"), answer(other, "a")] == [
        *("aa", "aa"),
        *("bb", "aa"),
    ]
    assert asked == [(one, "a"), (one, "b"), (other, "a")]


def test_an_answer_does_not_keep_what_it_is_about_alive() -> None:
    @remembered
    def answer(thing: Thing) -> list[str]:
        return ["said"]

    thing = Thing()
    answer(thing)
    seen = weakref.ref(thing)
    del thing
    assert seen() is None


def test_a_board_is_forgotten_with_what_was_said_of_it(results: Results) -> None:
    for seed in range(2):
        results.add("a", seed=seed)
    board = boards(results.store.records())
    seen = weakref.ref(board.tasks[0])
    assert correlations(board.tasks[0], "end") is correlations(board.tasks[0], "end")
    metric_conditions(board.tasks[0])
    del board
    gc.collect()
    assert seen() is None


def test_two_boards_of_one_folder_are_told_apart(results: Results) -> None:
    results.add("a")
    before = boards(results.store.records()).tasks[0]
    assert {c.cells for c in correlations(before, "end")} == {1}
    results.add("b")
    after = boards(results.store.records()).tasks[0]
    assert {c.cells for c in correlations(after, "end")} == {2}
    assert {c.cells for c in correlations(before, "end")} == {1}
