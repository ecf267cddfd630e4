"""Methods without a network, such as interpolation, among the encodings of a leaderboard."""

from __future__ import annotations

import re
from io import StringIO
from typing import Any

import numpy as np
import pytest
from encbench_leaderboard.board.no_network import surely_better, without_network
from encbench_leaderboard.board.table import boards
from encbench_leaderboard.render.html.document import html_page
from encbench_leaderboard.render.markdown import markdown
from encbench_leaderboard.render.terminal import print_standings
from encbench_leaderboard.report.blocks import Pictures, Section, Table
from encbench_leaderboard.report.build import describe, load_board
from PIL import Image
from rich.console import Console

from encbench.contracts.metric import MetricValue
from tests.leaderboard.results import Results, diverged


def values(held_out: float | None, fitted: float = 40.0) -> dict[str, MetricValue]:
    return {
        "psnr": MetricValue(value=fitted, title="PSNR", unit="dB"),
        "psnr_held_out": MetricValue(value=held_out, title="PSNR held out", unit="dB"),
    }


BASELINES = {
    "mean of the neighbours": values(27.0, float("inf")),
    "cubic <b>interpolation</b>": values(28.0, float("inf")),
}


def add(results: Results, encoding: str, held_out: float, **changes: Any) -> None:
    given = {"metrics": values(held_out), "curve": "psnr_held_out", "baselines": BASELINES}
    results.add(encoding, **(given | changes))


def standings(results: Results, section: int = 0) -> Table:
    page = describe(*load_board(results.directory))
    sections = [block for block in page.blocks if isinstance(block, Section)]
    return next(b for b in sections[section].blocks if isinstance(b, Table))


@pytest.fixture
def four(results: Results) -> Results:
    """Entries above, between and below two methods, and one that failed."""
    add(results, "best", 29.0)
    add(results, "between", 27.5)
    add(results, "last", 20.0)
    results.add("broken", status="diverged", error=diverged(3), psnr=None, curve="psnr_held_out")
    return results


def test_methods_stand_where_their_value_falls_without_a_rank(four: Results) -> None:
    table = standings(four)
    names = [column.name for column in table.columns]
    shown = [[row.values[names.index(n)].text for n in ("rank", "encoding")] for row in table.rows]
    assert shown == [
        ["(1)", "best"],
        ["–", "no network: cubic <b>interpolation</b>"],
        ["(2)", "between"],
        ["–", "no network: mean of the neighbours"],
        ["(3)", "last"],
        ["–", "broken"],
    ]
    method = dict(zip(names, table.rows[1].values, strict=True))
    assert method["psnr_held_out"].text == "28.00"
    assert method["psnr"].text == "∞"
    assert (method["parameters"].text, method["seconds"].text) == ("0", "–")
    assert table.rows[1].entry is None


def test_a_method_as_good_as_an_entry_stands_below_it(results: Results) -> None:
    add(results, "a", 28.0)
    (task,) = load_board(results.directory)[0].tasks
    best, second = without_network(task)
    assert (best.above, best.beaten_by, second.above, second.beaten_by) == (1, 0, 1, 1)


def test_an_exact_fit_with_one_seed_does_not_hide_the_others(results: Results) -> None:
    for seed, (once, steady) in enumerate([(float("inf"), 29.0), (20.0, 29.1), (21.0, 28.9)]):
        add(results, "exact once", once, seed=seed)
        add(results, "steady", steady, seed=seed)
    (task,) = load_board(results.directory)[0].tasks
    best = without_network(task)[0]
    assert (best.above, best.beaten_by) == (1, 1)


def test_an_exact_fit_counts_against_a_method_as_it_does_in_the_standings(
    results: Results,
) -> None:
    for seed, (once, steady) in enumerate([(float("inf"), 40.0), (25.0, 27.0), (24.0, 27.0)]):
        add(results, "exact once", once, seed=seed)
        add(results, "steady", steady, seed=seed)
    (task,) = load_board(results.directory)[0].tasks
    # 40 dB for the exact fit: a mean of 29.67 dB, and of 31.33 dB for the other
    assert [(one.above, one.beaten_by) for one in without_network(task)] == [(2, 2), (2, 2)]


def test_an_exact_fit_is_tested_against_a_method(results: Results) -> None:
    for seed, (once, steady) in enumerate([(float("inf"), 40.0), (40.1, 40.1), (39.9, 39.9)]):
        add(results, "exact once", once, seed=seed)
        add(results, "steady", steady, seed=seed)
    (task,) = load_board(results.directory)[0].tasks
    assert [surely_better(task, one) for one in without_network(task)] == [2, 2]


def test_an_exact_method_stands_above_every_entry(results: Results) -> None:
    exact = {"exact": values(float("inf"))}
    add(results, "a", 30.0, baselines=exact)
    (method,) = without_network(load_board(results.directory)[0].tasks[0])
    assert (method.above, method.beaten_by) == (0, 0)


def test_lower_values_can_be_better(results: Results) -> None:
    def loss(value: float) -> dict[str, MetricValue]:
        return {"loss": MetricValue(value=value, direction="lower")}

    for name, value in (("a", 1.0), ("b", 3.0)):
        results.add(name, curve="loss", metrics=loss(value), baselines={"nothing": loss(2.0)})
    (task,) = load_board(results.directory)[0].tasks
    (method,) = without_network(task)
    assert (method.above, method.beaten_by) == (1, 1)


def test_every_renderer_shows_them_in_italics_and_says_how_many_are_better(four: Results) -> None:
    page = describe(*load_board(four.directory))
    text = markdown(page, {}, "page", "page.md")[""]
    assert "| *no network*: mean of the neighbours " in text
    assert "| *no network*: cubic &lt;b&gt;interpolation&lt;/b&gt; " in text
    assert "1 of 3 encodings is better than the best of them, cubic &lt;b&gt;" in text
    assert "PSNR held out is over held-out points, PSNR over those trained on" in text
    html = html_page(page, pictures=False)
    assert r"\u003cem\u003eno network\u003c/em\u003e: mean of the neighbours" in html
    assert "<b>interpolation</b>" not in html
    console = Console(width=140, record=True, file=StringIO())
    print_standings(page, console, 20)
    printed = console.export_text(styles=True)
    assert re.search(r"\x1b\[3mno network\x1b\[0m: mean of the", printed)


def test_tasks_without_methods_have_no_word_of_them(results: Results) -> None:
    results.add("a")
    text = markdown(describe(*load_board(results.directory)), {}, "page", "page.md")[""]
    assert "network*" not in text
    assert "PSNR held out" not in text


def test_of_a_category_they_are_means_over_its_targets(results: Results) -> None:
    for number, held_out in enumerate((26.0, 30.0)):
        given = {"mean of the neighbours": values(held_out)}
        if number:
            given["cubic interpolation"] = values(31.0)
        cell = results.add().record.cell
        task = cell.task.model_copy(update={"parameters": {"image": f"photo {number}"}})
        changed = cell.model_copy(update={"task": task, "data_hash": f"{number}" * 64})
        add(results, "a", 29.0, baselines=given, cell=changed)
    board, _ = load_board(results.directory)
    kept = [one.stored for one in board.facts if one.baselines]
    (category,) = boards(kept).categories
    (method,) = without_network(category)
    assert (method.name, method.values["psnr_held_out"]) == ("mean of the neighbours", 28.0)
    assert method.beaten_by == 1


def test_what_is_better_than_a_method_is_tested_over_seeds(results: Results) -> None:
    for seed, (sure, noisy) in enumerate(zip((29.0, 29.1, 28.9), (29.0, 27.5, 32.0), strict=True)):
        add(results, "sure", sure, seed=seed)
        add(results, "noisy", noisy, seed=seed)
        add(results, "worse", sure - 5, seed=seed)
    board, store = load_board(results.directory)
    (task,) = board.tasks
    best, _ = without_network(task)
    assert best.beaten_by == 2
    assert surely_better(task, best) == 1
    text = markdown(describe(board, store), {}, "page", "page.md")[""]
    assert "(28.00 dB); paired tests, corrected for 3 encodings, tell 1 of them apart" in text


def test_what_is_better_than_a_method_is_tested_over_targets(results: Results) -> None:
    """The method's value differs between targets: an entry that is better on all of them is
    significantly better, though its values are far apart."""
    for number, held_out in enumerate((20.0, 26.0, 30.0, 38.0)):
        given = {"mean of the neighbours": values(held_out)}
        cell = results.add().record.cell
        task = cell.task.model_copy(update={"parameters": {"image": f"photo {number}"}})
        changed = cell.model_copy(update={"task": task, "data_hash": f"{number}" * 64})
        add(results, "a", held_out + 1 + number / 100, baselines=given, cell=changed)
    board, _ = load_board(results.directory)
    (category,) = boards([one.stored for one in board.facts if one.baselines]).categories
    (method,) = without_network(category)
    assert surely_better(category, method) == 1
    assert surely_better(category.targets[0], without_network(category.targets[0])[0]) is None


def test_entries_that_share_no_target_with_a_method_are_not_told_apart(results: Results) -> None:
    """As in a partial run: one entry ran where the method has values, one where it has none."""
    for number, (entry, known) in enumerate([("a", True), ("a", True), ("b", False)]):
        given = {"mean of the neighbours": values(20.0 + number)} if known else {}
        cell = results.add(entry).record.cell
        task = cell.task.model_copy(update={"parameters": {"image": f"photo {number}"}})
        changed = cell.model_copy(update={"task": task, "data_hash": f"{number}" * 64})
        add(results, entry, 29.0 + number, baselines=given, cell=changed)
    board, _ = load_board(results.directory)
    kept = [one.stored for one in board.facts if "image" in one.cell.task.parameters]
    (category,) = boards(kept).categories
    (method,) = without_network(category)
    assert method.beaten_by == 1
    assert surely_better(category, method) == 1


def test_the_picture_of_what_was_given_is_shown_once(four: Results) -> None:
    for stored in four.store.records():
        if stored.record.status == "ok":
            target = np.asarray(Image.open(stored.path / "target.png"))
            pictures = dict.fromkeys(("target", "prediction", "training"), target)
            four.store.write(stored.record, {}, pictures)
    page = describe(*load_board(four.directory))
    sections = [block for block in page.blocks if isinstance(block, Section)]
    (shown,) = [b for section in sections for b in section.blocks if isinstance(b, Pictures)]
    names = [(tile.name, tile.entry) for tile in shown.tiles]
    assert names[0] == ("target", None)
    assert names.count(("training", None)) == 1
    assert [name for name, entry in names if entry] == ["prediction"] * 3
