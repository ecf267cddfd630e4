"""What the page says of Theorem 1 and of the MLP's part of the kernel."""

from __future__ import annotations

from typing import Any

import pytest
from encbench_leaderboard.render.markdown import markdown
from encbench_leaderboard.report.build import describe, load

from encbench.results.records import ActivationSummary, PartSummary, WeylSummary
from tests.leaderboard.results import FLOOR, Results


def add(results: Results, encoding: str, *, holds: bool = True, **record: Any) -> None:
    """A cell whose spectra carry what the engine says of them."""
    stored = results.add(encoding, **record)
    for summary in stored.record.spectra:
        summary.mlp = PartSummary(
            floor=3 * FLOOR, maximum=5.0, median=1.25e-4, minimum=None, resolved_rank=40
        )
        summary.weyl = WeylSummary(ok=holds, worst=0.0 if holds else 1.0, tolerance=5 * FLOOR)
        summary.activation = ActivationSummary(
            duplicates=0, regions=1234, rank_bound=None, dead_units=7, dead_layers=0
        )
    results.store.write(stored.record, stored.arrays, {})


@pytest.fixture
def page(results: Results) -> str:
    add(results, "identity")
    add(results, "mpe")
    return markdown(describe(*load(results.directory)), {})


def test_the_ablation_stands_beside_the_kernel(page: str) -> None:
    section = page.split("What the encoding adds to the kernel")[1].split("</details>")[0]
    row = next(line for line in section.splitlines() if line.startswith("| `mpe`"))
    cells = [cell.strip() for cell in row.split("|")]
    assert cells[3] == "1.25e-4"
    assert cells[5] == "≤ 6.00e-11", "an eigenvalue below the part's floor is no value"
    assert cells[6:9] == ["1,234", "–", "7"]


def test_the_theorem_is_said_to_hold_where_it_does(page: str) -> None:
    assert "checked on 6 kernels and holds on all" in page


def test_a_kernel_without_an_encodings_part_checks_nothing(results: Results) -> None:
    add(results, "identity", parameters={"mlp": 100, "encoding": 0})
    add(results, "mpe")
    page = markdown(describe(*load(results.directory)), {})
    assert "checked on 3 kernels and holds on all" in page


def test_a_violation_is_named(results: Results) -> None:
    add(results, "identity")
    add(results, "mpe", holds=False)
    page = markdown(describe(*load(results.directory)), {})
    assert "fails on 3 of 6 kernels: `mpe` (start), `mpe` (middle), `mpe` (end)" in page
