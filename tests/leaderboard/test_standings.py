"""Every number of the standings, compared with loops over cells."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable

import numpy as np
import pandas as pd
import pytest
from encbench_leaderboard.board.facts import SPECTRUM_NUMBERS, WHENS, MetricInfo
from encbench_leaderboard.board.standings import MAY_BE_BELOW_FLOOR, OVER_DECADES, standings

METRICS = [MetricInfo("psnr", "dB", "higher"), MetricInfo("chamfer", "", "lower")]
PLAIN = ("params_mlp", "training", "lr", "metric:psnr", "metric:chamfer")
SPECTRA = tuple(f"{when}:{number}" for when in WHENS for number in SPECTRUM_NUMBERS)


def random_cells(seed: int) -> pd.DataFrame:
    """Cells of seven entries in any order, some of them failed, with some numbers missing."""
    rng = np.random.default_rng(seed)
    rows = []
    for entry in range(7):
        for unit in range(int(rng.integers(1, 4))):
            for repeat in range(int(rng.integers(1, 3))):
                failed = entry == 6 or rng.random() < 0.2
                numbers = dict(zip(PLAIN, rng.uniform(1, 40, len(PLAIN)), strict=True))
                numbers |= {name: 10.0 ** rng.uniform(-9, 4) for name in SPECTRA}
                gaps = {
                    name: math.nan
                    for name in numbers
                    if rng.random() < (0.3 if name in SPECTRA[3:] else 0.1)
                }
                rows.append(
                    {
                        "entry": f"e{entry}",
                        "unit": f"image {unit}",
                        "repeat": str(repeat),
                        "status": "failed" if failed else "ok",
                        "seed": float(repeat),
                    }
                    | numbers
                    | gaps
                )
    return pd.DataFrame([rows[i] for i in rng.permutation(len(rows))])


def known(values: Iterable[float]) -> list[float]:
    return [value for value in values if not math.isnan(value)]


def of_known(said: Callable[[list[float]], float], values: Iterable[float]) -> float:
    kept = known(values)
    return said(kept) if kept else math.nan


@pytest.mark.parametrize("category", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_every_column_is_what_a_loop_over_the_cells_says(seed: int, category: bool) -> None:
    cells = random_cells(seed)
    table, _ = standings(cells, METRICS, category=category)
    by_entry = defaultdict(list)
    for cell in cells.to_dict("records"):
        by_entry[cell["entry"]].append(cell)
    assert sorted(table["entry"]) == sorted(by_entry)
    for row in table.to_dict("records"):
        every = by_entry[row["entry"]]
        finished = [cell for cell in every if cell["status"] == "ok"]
        shown = finished or every
        assert (row["n"], row["cells"]) == (len(finished), len(every))
        for name in (*PLAIN, *SPECTRA):
            if not name.startswith("metric:"):
                assert row[name] == pytest.approx(mean_over_units(shown, name), nan_ok=True)
            for end, extreme in (("min", min), ("max", max)):
                expected = of_known(extreme, (cell[name] for cell in shown))
                assert row[f"{name}|{end}"] == pytest.approx(expected, nan_ok=True)
        for metric in METRICS:
            name = f"metric:{metric.name}"
            assert row[name] == pytest.approx(mean_over_units(finished, name), nan_ok=True)
            assert row[f"{name}|n"] == len(known(cell[name] for cell in finished))
        valued = {cell["unit"] for cell in finished if not math.isnan(cell["metric:psnr"])}
        assert row["units"] == len(valued)
        for when in WHENS:
            taken = [cell for cell in shown if not math.isnan(cell[f"{when}:size"])]
            assert row[f"{when}:taken"] == len(taken)
            for number in MAY_BE_BELOW_FLOOR:
                below = [cell for cell in taken if math.isnan(cell[f"{when}:{number}"])]
                assert row[f"{when}:{number}|below"] == len(below)


def mean_over_units(cells: list[dict[str, float]], name: str) -> float:
    """Mean over units of the mean within each unit; geometric for ``OVER_DECADES``."""
    geometric = name.rpartition(":")[2] in OVER_DECADES
    units = defaultdict(list)
    for cell in cells:
        units[cell["unit"]].append(math.log(cell[name]) if geometric else cell[name])
    mean = of_known(
        statistics.fmean, (of_known(statistics.fmean, values) for values in units.values())
    )
    return math.exp(mean) if geometric else mean


@pytest.mark.parametrize("category", [False, True])
@pytest.mark.parametrize("seed", range(6))
def test_a_rank_is_one_more_than_the_number_of_better_ones(seed: int, category: bool) -> None:
    table, _ = standings(random_cells(seed), METRICS, category=category)
    rows = [row for row in table.to_dict("records") if not math.isnan(row["metric:psnr"])]

    def better(one: dict[str, float], other: dict[str, float]) -> bool:
        # in a category, entries with fewer targets rank below, whatever their mean
        if category and one["units"] != other["units"]:
            return one["units"] > other["units"]
        return one["metric:psnr"] > other["metric:psnr"]

    for row in rows:
        assert row["rank"] == 1 + sum(better(other, row) for other in rows)
    assert table["rank"].isna().sum() == len(table) - len(rows)
    assert list(table["rank"].dropna()) == sorted(table["rank"].dropna())
    assert list(table["n"] == 0) == sorted(table["n"] == 0)
