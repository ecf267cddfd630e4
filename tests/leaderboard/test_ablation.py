"""The page on Weyl's inequality, Theorem 1 and the MLP's part of the kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from encbench_leaderboard.board.table import boards
from encbench_leaderboard.board.theorem import against_plain
from encbench_leaderboard.render.markdown import markdown
from encbench_leaderboard.report.build import describe, load_board

from encbench.results.kernel_summary import ActivationSummary, PartSummary, WeylSummary
from tests.leaderboard.results import FLOOR, Results, provenance


def add(
    results: Results,
    encoding: str,
    *,
    holds: bool = True,
    bound: tuple[int, int] | None = None,
    **record: Any,
) -> None:
    """A cell whose spectra have summaries of the MLP's part, Weyl's inequality and activation.

    ``bound``: number of points and bound of the trace kernel's rank.
    """
    stored = results.add(encoding, **record)
    for summary in stored.record.spectra:
        summary.mlp = PartSummary(
            floor=3 * FLOOR, maximum=5.0, median=1.25e-4, minimum=None, resolved_rank=40
        )
        summary.weyl = WeylSummary(ok=holds, worst=0.0 if holds else 1.0, tolerance=5 * FLOOR)
        summary.activation = ActivationSummary(
            duplicates=0, regions=1234, rank_bound=None, dead_units=7, dead_layers=0
        )
        if bound is not None:
            summary.points, summary.activation.rank_bound = bound
    results.store.write(stored.record, stored.arrays, {})


def all_of_it(results: Results) -> str:
    described = describe(*load_board(results.directory))
    return "\n".join(markdown(described, {}, "page", "page.md").values())


@pytest.fixture
def page(results: Results) -> str:
    add(results, "identity")
    add(results, "mpe")
    return all_of_it(results)


def test_the_ablation_stands_beside_the_kernel(page: str) -> None:
    section = page.split("What the encoding adds to the kernel")[1].split("\n## ")[0]
    row = next(line for line in section.splitlines() if line.startswith("| `mpe`"))
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[3] == "1.25e-4"
    assert cells[5] == "≤ 6.00e-11", "an eigenvalue below the part's floor is no value"
    assert cells[6:9] == ["1,234", "–", "7"]


def test_the_rank_bound_of_a_full_kernel_counts_its_outputs(results: Results) -> None:
    add(results, "identity", points=60, bound=(20, 7))
    assert "| 1,234 | 21 | 7" in " ".join(all_of_it(results).split())


def test_weyls_inequality_is_said_to_hold_where_it_does(page: str) -> None:
    assert "checked on 6 kernels and holds on all" in page


def test_a_kernel_without_an_encodings_part_checks_nothing(results: Results) -> None:
    add(results, "identity", parameters={"mlp": 100, "encoding": 0})
    add(results, "mpe")
    page = all_of_it(results)
    assert "checked on 3 kernels and holds on all" in page


def test_a_violation_is_named(results: Results) -> None:
    add(results, "identity")
    add(results, "mpe", holds=False)
    page = all_of_it(results)
    assert "fails on 3 of 6 kernels: `mpe` (start), `mpe` (middle), `mpe` (end)" in page


def test_the_theorem_is_compared_with_the_network_without_an_encoding(results: Results) -> None:
    plain = results.add("identity", points=6)
    lower = results.add("lower", points=6)
    for stored, values in (
        (plain, [9.0, 5.0, 3.0, 1.0, 0.5, 0.1]),
        (lower, [10.0, 4.0, 3.0, 0.9, 0.6, 0.1 - FLOOR]),
    ):
        arrays = {f"spectrum_{when}": np.array(values) for when in ("start", "middle", "end")}
        results.store.write(stored.record, arrays, {})
    results.add("other", points=6, seed=1)
    found = against_plain(boards(results.store.records()).tasks[0])
    assert {one.entry for one in found} == {"lower"}
    assert [(one.when, one.fails, one.first, one.size) for one in found] == [
        (when, (2,), 2, 6) for when in ("start", "middle", "end")
    ]
    page = all_of_it(results)
    assert "**Theorem 1** of the paper compares with the network *without* an encoding" in page
    rows = [line.replace(" ", "") for line in page.splitlines()]
    assert "|`lower`|end|1|2|2|6|" in rows


@pytest.mark.parametrize("steps", [(100, 1000), (1000, 100)])
def test_the_theorem_is_compared_under_equal_training(
    results: Results, steps: tuple[int, int]
) -> None:
    for number in steps:
        # the plain network of 1,000 steps has the larger eigenvalues
        decades = 10.0 if number == 100 else 2.0
        results.add("identity", points=32, decades=decades, training={"steps": number})
    results.add("mpe", points=32, decades=8.0, training={"steps": 100})
    results.add("hashgrid", points=32, decades=8.0, training={"steps": 10})
    found = against_plain(boards(results.store.records()).tasks[0])
    trained = [one for one in found if one.when != "start"]
    assert {(one.entry, one.fails) for one in trained} == {("mpe", (0,))}
    assert {one.entry for one in found if one.when == "start"} == {"mpe", "hashgrid"}


@pytest.mark.parametrize("days", [(1, 2), (2, 1)])
def test_of_two_versions_the_later_one_is_compared(results: Results, days: tuple[int, int]) -> None:
    for day in days:
        at = provenance(finished=f"2026-01-0{day}T10:25:00+00:00")
        decades = 2.0 if day == 1 else 10.0
        results.add("identity", points=32, decades=decades, provenance=at)
    results.add("mpe", points=32, decades=8.0)
    found = against_plain(boards(results.store.records()).tasks[0])
    assert {one.fails for one in found} == {(0,)}


def test_without_an_encoding_free_cell_nothing_is_said_of_the_theorem(results: Results) -> None:
    add(results, "mpe")
    page = all_of_it(results)
    assert "Weyl's inequality" in page
    assert "Theorem 1" not in page
