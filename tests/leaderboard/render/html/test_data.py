"""Data for the page's script, checked without a browser."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
from encbench_leaderboard.render.html import document
from encbench_leaderboard.render.html.data import Entries, embedded, table_options
from encbench_leaderboard.render.html.plots import plot_data
from encbench_leaderboard.report.blocks import (
    Axis,
    Column,
    Figure,
    Page,
    Panel,
    Row,
    Series,
    Table,
    Value,
)

from tests.leaderboard.render.html.pages import HOSTILE, spectra


def options(values: list[Value], column: Column | None = None) -> list[list[Any]]:
    """(HTML, sort key, text to copy) of a column's values, after a round trip through JSON."""
    column = column or Column("psnr", "PSNR [dB] ↑")
    table = Table("t", [column], [Row([value]) for value in values])
    text = embedded(table_options(table, Entries([]), openable=False))
    return [row["values"][0] for row in json.loads(text)["data"]]


def test_infinite_and_missing_numbers_survive_json() -> None:
    values = [Value("∞", math.inf), Value("30.00", 30.004), Value("–"), Value("–", math.nan)]
    shown, sorted_by, copied = zip(*options(values), strict=True)
    assert shown == ("∞", "30.00", "–", "–")
    assert sorted_by[0] > 1e300
    assert sorted_by[1:] == (30.004, "", "")
    assert copied == ("inf", "30.004", "", "")


def test_what_is_copied_is_the_number_and_not_its_sort_key() -> None:
    values = [Value("≤ 1e-7", 0.0, number=math.nan), Value("5 / 9", 5 / 9, number=5)]
    assert [(key, copied) for _, key, copied in options(values)] == [(0.0, ""), (5 / 9, "5")]


def test_an_interval_stands_under_its_mean() -> None:
    for text in ("25.00 ± 0.30", "25.00 [24.7, 25.3]"):
        assert options([Value(text, 25.0)])[0][0] == f"25.00<small>{text[6:]}</small>"


def test_text_of_a_plug_in_is_escaped_wherever_html_is_read() -> None:
    for kind in ("number", "text", "code"):
        shown, _, copied = options([Value(HOSTILE)], Column("c", "c", kind))[0]  # type: ignore[arg-type] # one of the kinds
        assert "<img" not in shown
        assert "<img" not in copied


def test_every_array_of_a_figure_is_there_once() -> None:
    x, y = np.arange(5.0), np.arange(5.0) ** 2
    panel = Panel(Axis("x"), Axis("y"), [Series(e, x.copy(), y) for e in ("a", "b")])
    data = plot_data(
        Figure("f", "f", "", lambda: [panel, panel], {"a": "a", "b": "b"}), Entries("ab")
    )
    assert len(data["traces"]) == 4
    assert len(data["arrays"]) == 2
    json.dumps(data, allow_nan=False)


def test_thousands_of_unnamed_points_are_one_trace_with_their_names() -> None:
    points = [Series(f"e{i}", np.array([1.0 + i]), np.array([2.0]), "points") for i in range(500)]
    panel = Panel(Axis("cost", "log"), Axis("quality"), points)
    figure = Figure("cost", "cost", "", lambda: [panel], {"e3": "e3"})
    traces = plot_data(figure, Entries([s.entry for s in points]))["traces"]
    assert len(traces) == 2
    assert len(traces[0]["text"]) == 499
    assert "e3" not in traces[0]["text"]


def test_a_log_axis_shows_the_floor_and_what_lies_above() -> None:
    panel = spectra(["identity", "siren"])
    assert panel.floor
    figure = Figure("spectra", "spectra", "", lambda: [panel])
    low, high = plot_data(figure, Entries(["identity"]))["layout"]["yaxis"]["range"]
    assert low < math.log10(panel.floor[0])
    assert high > math.log10(max(s.y.max() for s in panel.series))


def test_figures_beyond_the_limit_are_neither_read_nor_drawn(monkeypatch: Any) -> None:
    read = []

    def build() -> list[Panel]:
        read.append(1)
        series = [Series("a", np.arange(100.0), np.arange(100.0))]
        return [Panel(Axis("x"), Axis("y"), series)]

    figures = [Figure(name, name, "", build, {"a": "a"}) for name in ("first", "second", "third")]
    monkeypatch.setattr(document, "FIGURES", 1000)
    html = document.Body(Page("p", figures, ["a"])).html
    assert html.count("Left out to keep this file small") == 2
    assert html.count('class="plot"') == len(read) == 1


def test_a_figure_without_data_is_not_there() -> None:
    html = document.Body(Page("p", [Figure("f", "spectra", "caption", list)], [])).html
    assert "caption" not in html
