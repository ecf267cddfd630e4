"""Functions of one variable are drawn over their own x, with the truth if it is known."""

from __future__ import annotations

import numpy as np
from encbench_leaderboard.board.table import boards
from encbench_leaderboard.report.figures.predictions import lines_figure

from encbench.contracts.outcome import Outcome
from tests.leaderboard.results import Results


def test_a_close_up_has_its_own_range_and_nan_no_truth(results: Results) -> None:
    x, values = np.linspace(0, 1, 11), np.linspace(0, 5, 11)[:, None]
    lines = {
        "wave": (x, values, values + 1),
        "middle": (x[4:7], values[4:7], values[4:7] + 1),
        "quality": (x, values, np.full((11, 1), np.nan)),
    }
    for name in ("ffe", "mpe"):
        results.add(
            name,
            more_arrays=Outcome({}, lines=lines).line_arrays(),
            line_titles={"wave": ("time [s]", "amplitude")},
        )
    figure = lines_figure(boards(results.store.records()).tasks[0])
    assert figure is not None
    panels = {panel.y.title: panel for panel in figure.panels}
    assert [len(panels[name].series) for name in ("amplitude", "middle", "quality")] == [3, 3, 2]
    assert [panel.x.title for panel in figure.panels] == ["time [s]", "x", "x"]
    np.testing.assert_array_equal(panels["amplitude"].series[0].y, values[:, 0] + 1)
    assert panels["quality"].y.limits is None
    assert panels["amplitude"].x.limits == (-0.02, 1.02)
    np.testing.assert_allclose(panels["middle"].x.limits or (), (0.396, 0.604))
