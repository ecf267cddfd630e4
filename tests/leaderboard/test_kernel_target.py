"""The page on kernel and target; old records have no such data, and still have a page."""

from __future__ import annotations

import numpy as np
from encbench_leaderboard.board.table import boards
from encbench_leaderboard.report.blocks import Figure, Table, Text
from encbench_leaderboard.report.kernel_target import kernel_fold

from encbench.results.kernel_summary import EnergySummary, LinearizedTraining, TargetSummary
from tests.leaderboard.results import Results


def of(results: Results):
    return kernel_fold(boards(results.store.records()).tasks[0])


def test_records_without_these_fields_have_no_such_fold(results: Results) -> None:
    results.add("old")
    assert of(results) is None


def test_a_mean_over_the_cells_that_reach_90_percent_says_how_many_do(results: Results) -> None:
    for entry, seed, k_90 in (("few", 0, 8), ("few", 1, None), ("all", 0, 12), ("all", 1, 12)):
        stored = results.add(entry, seed=seed)
        energy = EnergySummary(k_50=1, k_90=k_90, k_99=None, tenth=0.5, resolved=0.9)
        stored.record.spectra[2].target = TargetSummary(target_centred=energy, energy_points=32)
        results.store.write(stored.record, stored.arrays, {})
    table = next(block for block in of(results).blocks if isinstance(block, Table))
    place = [column.name for column in table.columns].index("energy_90")
    found = {row.entry: row.values[place] for row in table.rows}
    assert (found["few"].text, found["all"].text) == ("25.0% (1 of 2)", "37.5%")
    assert found["few"].exported == 0.25
    assert found["few"].sort > found["all"].sort, "a cell that does not reach it needs more"
    tenths = {row.values[place + 1].text for row in table.rows}
    assert tenths == {"50.0%"}


def test_the_fold_holds_alignment_energies_and_predicted_beside_measured_steps(
    results: Results,
) -> None:
    stored = results.add("new")
    energy = EnergySummary(k_50=1, k_90=16, k_99=None, tenth=0.75, resolved=0.9)
    stored.record.spectra[2].target = TargetSummary(
        alignment_centred=0.25, target_centred=energy, energy_points=32
    )
    stored.record.spectra[2].drift = 0.5
    stored.record.linearized = LinearizedTraining(points=64, predicted_25=1234.0, measured_30=90.0)
    k = np.array([1.0, 16.0, 64.0])
    arrays = stored.arrays | {
        "energy_end": np.column_stack([k, k / 64, k / 64, [0.1, 0.9, np.nan]]),
        "linearized_step": np.array([0.0, 1.0, 1000.0]),
        "linearized_loss": np.array([1.0, 0.1, 1e-14]),
    }
    results.store.write(stored.record, arrays, {})
    adam = results.add("other")
    adam.record.linearized = LinearizedTraining(not_predicted="adam is not plain gradient descent")
    results.store.write(adam.record, adam.arrays, {})
    fold = of(results)
    assert fold is not None
    kernel, predicted = (block for block in fold.blocks if isinstance(block, Table))
    (row,) = kernel.rows
    shown = [value.text for value in row.values]
    assert shown == ["new", "end", "0.250", "50.0%", "75.0%", "0.500", "–"]
    (row,) = predicted.rows
    assert [value.text for value in row.values] == ["new", "1,234", "–", "–", "90", "–", "–"]
    text = " ".join(block.markdown for block in fold.blocks if isinstance(block, Text))
    assert "Not predicted: adam is not plain gradient descent." in text
    assert "Energies are those at 32 of the kernel's points." in text
    (figure,) = (block for block in fold.blocks if isinstance(block, Figure))
    energies, losses = figure.panels
    assert [line.label for line in energies.series] == ["end"]
    assert [line.label for line in losses.series] == ["predicted", "measured"]
    assert losses.y.limits is not None
    assert losses.y.limits[0] > 1e-12, "a loss predicted to fall to rounding hides no other line"
