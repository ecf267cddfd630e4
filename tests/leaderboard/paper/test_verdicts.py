"""When our numbers agree with the paper, and the page that says so."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from encbench_leaderboard.board.table import boards
from encbench_leaderboard.paper.claims import CLAIMS
from encbench_leaderboard.paper.evidence import (
    READINGS,
    Evidence,
    against_printed,
    collapsed,
    interval,
    of_sign,
)
from encbench_leaderboard.paper.experiments import SCALES, experiments
from encbench_leaderboard.paper.printed import TABLE_3
from encbench_leaderboard.paper.survival import survives
from encbench_leaderboard.paper.verdicts_page import Ran, verdicts_page
from encbench_leaderboard.render.markdown import markdown
from encbench_leaderboard.report.standings_table import standings_table

from encbench.contracts.metric import MetricValue
from encbench.plugins.registry import default_registry
from tests.leaderboard.results import Results, diverged


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        ([15.9, 15.2, 15.5], "agrees"),
        ([20.0], "not comparable"),
        ([15.0], "not comparable"),
        ([9.0, 21.0], "not comparable"),
        ([20.0, 20.1, 19.9], "disagrees"),
        ([12.0, 28.0], "not comparable"),
        ([], "not comparable"),
    ],
)
def test_a_printed_number_is_compared_up_to_noise(values: list[float], answer: str) -> None:
    assert against_printed(interval(values), 15.0, 1.5)[0] == answer


@pytest.mark.parametrize(
    ("values", "answer"),
    [
        ([1.0], "not comparable"),
        ([-1.0], "not comparable"),
        ([1.0, 1.1, 0.9], "agrees"),
        ([-1.0, -1.1, -0.9], "disagrees"),
        ([1.0, -0.9, 0.2], "not comparable"),
        ([math.nan], "not comparable"),
    ],
)
def test_an_order_needs_an_interval_without_zero(values: list[float], answer: str) -> None:
    assert of_sign(interval(values))[0] == answer


def test_a_claim_survives_where_both_questions_agree() -> None:
    up, down = interval([3.0, 3.1]), interval([-3.0, -3.1])
    unclear = interval([3.0, -2.9])
    assert survives(up, up) == "yes"
    assert survives(up, down) == "only at the points trained on"
    assert survives(down, down) == "no"
    assert survives(up, None) == "not run"
    assert survives(up, unclear) == "yes; held out: too few to tell"


@pytest.fixture
def evidence(tmp_path: Path) -> Evidence:
    """Table 3 with the paper's own PSNRs on three photographs; in the literal reading, all but one
    diverge."""
    records = {}
    for name in READINGS[:2]:
        results = Results(tmp_path / name)
        for place, (label, (psnr, _)) in enumerate(TABLE_3.items()):
            for shift, image in ((-1.0, "chelsea"), (0.0, "coffee"), (1.0, "rocket")):
                lost = name == READINGS[0] and place
                results.add(
                    label,
                    task=f"image:image={image}",
                    psnr=psnr + shift,
                    decades=12.0 - 2 * place,
                    pictures=False,
                    training_points=1000,
                    **({"status": "diverged", "error": diverged(7)} if lost else {}),
                )
        records[name] = results.store.records()
    return Evidence(records)


def text_of(evidence: Evidence, scale: str) -> str:
    made, notes = experiments(SCALES[scale], ["table3"], None, (), default_registry())
    page = verdicts_page([Ran(one, 60.0) for one in made], evidence, scale, notes)
    return markdown(page, {}, "", "paper.md")[""]


def test_the_page_answers_each_claim_that_was_run(evidence: Evidence) -> None:
    page = text_of(evidence, "laptop")
    lines = {line.split("|")[1].strip(): line for line in page.splitlines() if "|" in line}
    assert "1 of 6 encodings train, the others diverge" in page
    assert " disagrees " in lines["All six encodings train with a learning rate of 100"]
    assert " agrees " in lines["A finer grid has the higher spectrum"]
    assert "N = 64" in lines["λ_min of MPE over the baseline"]
    assert "+5.0 [+5.0, +5.0] dB" in lines["MPE k=2 L=1 200² over FFE L=16"]
    assert " agrees " in lines["MPE k=2 L=1 200² over FFE L=16"]
    asked = {claim.statement for claim in CLAIMS if claim.needs in READINGS[:2]}
    # these records have no parts of kernels
    assert asked - lines.keys() == {"λ_i(K_MLP) + λ_n(K_enc) ≤ λ_i(K)"}
    assert "The same order on solids" not in lines
    assert "nan" not in page


def test_a_smoke_run_answers_nothing(evidence: Evidence) -> None:
    page = text_of(evidence, "smoke")
    assert "claims, none judged." in page
    assert "| agrees" not in page
    assert "| disagrees" not in page


def test_what_has_collapsed_is_what_the_pages_call_so(results: Results) -> None:
    for name, unit, value, direction in (
        ("near_surface_iou", "", 0.0, "higher"),
        ("iou", "", 0.5, "higher"),
        ("psnr", "dB", 0.0, "higher"),  # an error of 1 at every pixel, and not the worst
        ("l1", "", 0.0, "lower"),
    ):
        made = MetricValue(value=value, unit=unit, direction=direction)
        results.add(name, task=f"task:of={name}", curve=name, metrics={name: made})
    marked = {}
    for task in boards(results.store.records()).tasks:
        (row,), (stored,) = standings_table(task).rows, task.records
        marked[stored.record.curve] = any("collapsed" in value.text for value in row.values)
        assert collapsed(stored) == marked[stored.record.curve]
    assert marked == {"near_surface_iou": True, "iou": False, "psnr": False, "l1": False}


def test_networks_that_learned_nothing_have_no_order(tmp_path: Path) -> None:
    results = Results(tmp_path / "solid")
    for label, iou in (("baseline", 0.0), ("FFE L=7", 0.5), ("MPE k=1 L=1 44³", 0.9)):
        stored = results.add(label, task="occupancy:mesh=knot", pictures=False)
        value = stored.record.metrics.pop("psnr")
        stored.record.metrics = {"iou": value.model_copy(update={"value": iou, "unit": ""})}
        results.store.write(stored.record, stored.arrays, {})
    (claim,) = (claim for claim in CLAIMS if claim.needs == "table4")
    found = claim.look(Evidence({"table4-1": results.store.records()}))
    assert found is not None
    assert "FFE over baseline: –" in found.ours
    assert (found.answer, found.units) == ("not comparable", 1)
    assert found.why.startswith("1 of 3 networks learned nothing and are left out")
