"""Which spatial frequencies are learned when: the error by band over training."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from encbench.results.records import StoredRecord
from encbench_leaderboard.board.table import TaskBoard
from encbench_leaderboard.report.blocks import Axis, Figure, HeatMap, Panel
from encbench_leaderboard.report.figures.selection import finished_with_arrays, first_cells

ARRAYS = ("band_upper", "band_target", "band_step", "band_error")
PANELS = 6
FEWEST = 3
"""Steps at which the error was taken, of a map."""
LIMITS = (1e-6, 1.0)
"""Relative errors of the first and of the last colour, the same in every figure."""
NOTHING = 1e-12
"""Share of the target's energy under which a band has only rounding errors."""


def bands_figure(task: TaskBoard) -> Figure | None:
    """A map of the relative error over frequency and step for each of the best entries, of the
    first seed that finished. It has no panels where no record has the error by band; None of a
    category, whose targets differ."""
    if task.targets:
        return None
    entries = first_cells(task, finished_with_arrays)
    return Figure(
        "bands",
        "error by spatial frequency during training",
        "Energy of the error in each octave of spatial frequency, relative to the target's energy "
        "there: 1 means nothing learned. A column shows the error at the end of its steps; no "
        "colour: the target has no energy in this octave. First finished seed.",
        lambda: _panels(entries),
    )


def _panels(entries: Mapping[str, StoredRecord]) -> list[Panel]:
    maps: dict[str, HeatMap] = {}
    for entry, stored in entries.items():
        if len(maps) < PANELS and (found := _map(stored)) is not None:
            maps[entry] = found
    if not maps:
        return []
    # of a band-limited target the empty rows above it are left out
    highest = max(
        float(found.y[1:][np.isfinite(found.values).any(axis=1)].max()) for found in maps.values()
    )
    panels = []
    for entry, found in maps.items():
        ticks = tuple((value, f"{value:g}") for value in found.y[1:].tolist() if value <= highest)
        x = Axis("optimizer step", "log", (float(found.x[0]), float(found.x[-1])))
        y_limits = float(found.y[0]), highest
        y = Axis("frequency [cycles per unit]", "log", y_limits, ticks)
        panels.append(Panel(x, y, [], entry, heat=found))
    return panels


def _map(stored: StoredRecord) -> HeatMap | None:
    """Of one record, without the mean and without step 0; None where too little was recorded."""
    found = stored.some_arrays(*ARRAYS)
    if found.keys() != set(ARRAYS):
        return None
    upper, target, step, error = (found[name] for name in ARRAYS)
    if error.shape != (len(step), len(upper)) or len(target) != len(upper) or len(upper) < 2:
        return None
    later = step > 0
    known = target > NOTHING * target.sum()
    known[0] = False
    values = np.where(known, error / np.where(known, target, 1), np.nan)[later, 1:].T
    if later.sum() < FEWEST or not np.isfinite(values).any():
        return None
    steps = step[later]
    # a column, a row, ends at its step, its frequency; on log axes none begins at 0
    return HeatMap(
        np.concatenate([[min(1.0, steps[0] / 2)], steps]),
        np.concatenate([[upper[1] / 2], upper[1:]]),
        np.clip(values, *LIMITS),
        "energy of error / energy of target",
        LIMITS,
    )
