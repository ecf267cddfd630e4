"""The map of the error by frequency and step shows exactly the recorded values."""

from __future__ import annotations

import base64

import numpy as np
import pytest
from encbench_leaderboard.board.table import boards
from encbench_leaderboard.render import style
from encbench_leaderboard.render.html.data import Entries
from encbench_leaderboard.render.html.plots import colour_scale, plot_data
from encbench_leaderboard.render.panels import plot
from encbench_leaderboard.report.blocks import Fold, HeatMap, walk
from encbench_leaderboard.report.build import describe, load_board
from encbench_leaderboard.report.figures.training import bands_figure
from matplotlib.collections import QuadMesh

from tests.leaderboard.results import Results

STEPS = np.array([0.0, 1.0, 4.0, 10.0])
TARGET = np.array([0.3, 0.2, 0.1, 0.0])
ERROR = np.array([TARGET, TARGET / 2, TARGET / 1e3, TARGET / 1e9]) + 1e-20
BANDS = {
    "band_upper": np.array([0.0, 1.0, 2.0, 4.0]),
    "band_target": TARGET,
    "band_step": STEPS,
    "band_error": ERROR,
}


def only_map(results: Results) -> HeatMap:
    figure = bands_figure(boards(results.store.records()).tasks[0])
    assert figure is not None
    (panel,) = figure.panels
    assert panel.heat is not None
    return panel.heat


def test_a_cell_is_the_error_relative_to_the_target_at_the_end_of_its_steps(
    results: Results,
) -> None:
    results.add("ffe", more_arrays=BANDS)
    heat = only_map(results)
    np.testing.assert_array_equal(heat.x, [0.5, 1, 4, 10])
    np.testing.assert_array_equal(heat.y, [0.5, 1, 2, 4])
    np.testing.assert_allclose(heat.values[:2], [[0.5, 1e-3, 1e-6]] * 2)
    assert np.isnan(heat.values[2]).all(), "the target has no energy there"


@pytest.mark.parametrize(
    "changed",
    [
        {"band_step": STEPS[:2], "band_error": ERROR[:2]},
        {"band_error": ERROR[:, :2]},
        {"band_error": np.full_like(ERROR, np.nan)},
        {"band_target": np.zeros(4)},
    ],
)
def test_what_is_too_short_or_of_other_shapes_has_no_map(
    results: Results, changed: dict[str, np.ndarray]
) -> None:
    results.add("ffe", more_arrays=BANDS | changed)
    results.add("identity")
    figure = bands_figure(boards(results.store.records()).tasks[0])
    assert figure is not None
    assert not figure.panels


def test_the_page_folds_it_and_both_renderers_draw_the_same_values(results: Results) -> None:
    for name in ("ffe:levels=2", "mpe"):
        results.add(name, more_arrays=BANDS)
    results.add("identity")
    folds = [
        b for b in walk(describe(*load_board(results.directory)).blocks) if isinstance(b, Fold)
    ]
    (fold,) = (b for b in folds if b.title.startswith("Error by spatial frequency"))
    (figure,) = fold.blocks
    assert [panel.title for panel in figure.panels] == ["ffe:levels=2", "mpe"]
    heat = figure.panels[0].heat
    with style.quiet():
        drawn = plot(figure, {})
    mesh = next(c for c in drawn.axes[0].collections if isinstance(c, QuadMesh))
    np.testing.assert_array_equal(mesh.get_array().filled(np.nan), heat.values)
    assert drawn.axes[0].get_ylim() == (0.5, 2), "rows without energy are cut off"
    data = plot_data(figure, Entries(["ffe:levels=2", "mpe"]))
    (first, _) = data["traces"]
    rows = [np.frombuffer(base64.b64decode(data["arrays"][n]), "<f8") for n in first["z"]]
    np.testing.assert_array_equal(rows, np.log10(heat.values))
    assert (first["zmin"], first["zmax"]) == (-6, 0)
    scale = colour_scale(heat)
    assert [text for _, text in scale] == ["1e-06", "1e-05", "0.0001", "0.001", "0.01", "0.1", "1"]
    assert scale[0][0] == "rgb(68, 1, 84)"
