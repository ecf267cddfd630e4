"""Figures show the series' own numbers to the pointer and the keys."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from playwright.sync_api import expect

from tests.leaderboard.render.html.browser import CHROMIUM, Opened
from tests.leaderboard.render.html.pages import ENTRIES, HOSTILE, curves, spectra

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")

KEPT = [entry for entry in ENTRIES if HOSTILE not in entry]
OPACITY = "(trace) => getComputedStyle(trace).opacity"


def test_lines_are_the_series_to_the_last_bit(shared: Opened) -> None:
    made = spectra(KEPT).series
    drawn = [t for t in shared.plot("spectra")["traces"] if t["mode"] == "lines"]
    assert {t["name"] for t in drawn} == set(KEPT[:5])
    for series in made:
        same = [t for t in drawn if (t["name"], t["label"]) == (series.entry, series.label)]
        np.testing.assert_array_equal(same[0]["x"], series.x)
        np.testing.assert_array_equal(same[0]["y"], series.y)


def test_hovering_tells_the_series_own_numbers_and_lights_its_row(shared: Opened) -> None:
    figure = shared.figure("curves")
    wanted = curves(KEPT).series[2]
    at = figure.locator(".plot").evaluate(
        """(plot, [x, y]) => {
          const { xaxis, yaxis } = plot._fullLayout;
          const box = plot.getBoundingClientRect();
          return [box.left + xaxis._offset + xaxis.d2p(x), box.top + yaxis._offset + yaxis.d2p(y)];
        }""",
        [float(wanted.x[100]), float(wanted.y[100])],
    )
    shared.page.mouse.move(*at)
    expect(shared.tip()).to_contain_text("ffe:levels=16")
    expect(shared.tip()).to_contain_text("optimizer step: 101")
    expect(shared.tip()).to_contain_text(f"training loss: {wanted.y[100]:.5g}")
    lit = shared.rows().nth(2).locator("td").first
    plain = shared.rows().nth(3).locator("td").first
    ground = "(cell) => getComputedStyle(cell).backgroundColor"
    assert lit.evaluate(ground) != plain.evaluate(ground)


def test_pointing_at_a_row_fades_all_other_lines(shared: Opened) -> None:
    traces = shared.figure("spectra").locator("g.trace")
    shared.rows().nth(1).hover()
    faded = [trace.evaluate(OPACITY) == "0.15" for trace in traces.all()]
    assert 0 < faded.count(False) < len(faded)
    lit = shared.figure("spectra").locator("g.trace[class*=tracee1s]")
    assert {trace.evaluate(OPACITY) for trace in lit.all()} == {"1"}
    shared.page.locator("h1").hover()
    assert {trace.evaluate(OPACITY) for trace in traces.all()} == {"1"}


def test_a_click_on_the_legend_hides_an_entry_on_the_whole_page(shared: Opened) -> None:
    shared.figure("curves").locator(".legend button", has_text="levels=16").click()
    for name in ("curves", "spectra"):
        shown = {t["name"] for t in shared.plot(name)["traces"] if t["visible"]}
        assert "ffe:levels=16" not in shown
        assert "ffe:levels=4" in shown
    button = shared.figure("spectra").locator(".legend button", has_text="levels=16")
    expect(button).to_have_attribute("aria-pressed", "false")
    button.click()
    assert all(t["visible"] for t in shared.plot("spectra")["traces"])


def test_lines_of_one_moment_are_hidden_together(shared: Opened) -> None:
    shared.figure("spectra").locator(".legend button", has_text="start").click()
    shown = {t["label"] for t in shared.plot("spectra")["traces"] if t["visible"]}
    assert shown == {"end"}


def test_entries_that_are_not_named_are_drawn_when_asked_for(shared: Opened) -> None:
    assert not any(t["visible"] for t in shared.plot("curves")["traces"] if t["name"] == "huge")
    shared.choose("curves", "lines", "all")
    assert all(t["visible"] for t in shared.plot("curves")["traces"])


def test_steps_become_epochs_or_seconds(shared: Opened) -> None:
    figure = shared.figure("curves")
    made = curves(KEPT).series
    assert figure.locator("select[name=unit] option").all_inner_texts() == [
        "optimizer step",
        "epochs",
        "seconds",
    ]
    shared.choose("curves", "unit", "seconds")
    found = shared.plot("curves")
    assert found["x"] == "seconds"
    for series in made:
        drawn = next(
            t for t in found["traces"] if t["name"] == series.entry and t["mode"] == "lines"
        )
        np.testing.assert_array_equal(drawn["x"], series.other_x["seconds"])


def test_lines_end_in_their_mark_and_the_floor_is_shaded(shared: Opened) -> None:
    traces = shared.plot("spectra")["traces"]
    ends = {t["name"] for t in traces if t["mode"] == "markers"}
    cut = {series.entry for series in spectra(KEPT).series if series.end == "cut"}
    assert ends == cut != set()
    assert shared.figure("spectra").locator(".shapelayer path").count() == 2
    bands = [t for t in traces if t["fill"] == "toself"]
    assert {t["label"] for t in bands} == {"end"}


def test_the_stair_goes_through_what_nothing_beats(shared: Opened) -> None:
    figure = shared.figure("cost")
    assert figure.locator("g.scatterlayer").count() == 2
    front = next(t for t in shared.plot("cost")["traces"] if t["label"] == "Pareto front")
    np.testing.assert_array_equal(front["y"], [18.5, 25.25, 34.0, 41.0])
    path = figure.locator("path.js-line").first.get_attribute("d") or ""
    assert path.count("H") == path.count("V") == 3 or path.count("L") >= 3
    expect(figure.locator(".legend")).to_contain_text("Pareto front")


def test_a_figure_is_saved_as_picture_and_as_numbers(shared: Opened) -> None:
    figure = shared.figure("curves")
    starts = {"PNG": b"\x89PNG", "SVG": b"<svg"}
    for kind, start in starts.items():
        with shared.page.expect_download() as started:
            figure.get_by_role("button", name=kind).click()
        assert started.value.suggested_filename == f"task-0-curves.{kind.lower()}"
        assert Path(started.value.path()).read_bytes().startswith(start)
    with shared.page.expect_download() as started:
        figure.get_by_role("button", name="CSV").click()
    lines = Path(started.value.path()).read_text(encoding="utf-8").splitlines()
    assert lines[0] == "entry,series,panel,x,y"
    found = {tuple(line.rsplit(",", 2)[1:]) for line in lines if line.startswith("ffe:levels=4,")}
    series = curves(KEPT).series[1]
    made = zip(series.x, series.y, strict=True)
    assert {(float(x), float(y)) for x, y in found} == {(float(x), float(y)) for x, y in made}


def test_the_label_of_a_line_goes_with_the_line(opened: Opened) -> None:
    opened.figure("spectra").locator(".legend button[data-entry]").nth(1).focus()
    opened.page.keyboard.press("ArrowRight")
    expect(opened.tip()).to_have_count(1)
    opened.page.keyboard.press("Enter")
    expect(opened.tip()).to_have_count(0)


def test_axes_switch_between_linear_and_log_and_zoom(opened: Opened) -> None:
    figure = opened.figure("curves")
    assert opened.plot("curves")["ytype"] == "log"
    opened.choose("curves", "y", "linear")
    assert opened.plot("curves")["ytype"] == "linear"
    whole = opened.plot("curves")["range"]
    box = figure.locator(".nsewdrag").bounding_box()
    assert box
    opened.page.mouse.move(box["x"] + 100, box["y"] + 50)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + 250, box["y"] + 150, steps=5)
    opened.page.mouse.up()
    expect(figure.locator(".zoombox")).to_have_count(0)
    low, high = opened.plot("curves")["range"]
    assert whole[0] < low < high < whole[1]
    # The zoom stays when another entry is hidden, and in another theme.
    figure.locator(".legend button").first.click()
    assert opened.plot("curves")["range"] == [low, high]


def test_the_arrow_keys_walk_along_a_line(opened: Opened) -> None:
    figure = opened.figure("spectra")
    series = spectra(KEPT).series
    figure.locator(".legend button").nth(1).focus()
    for _ in range(3):
        opened.page.keyboard.press("ArrowRight")
    expect(opened.tip()).to_contain_text("index of the eigenvalue: 3")
    expect(opened.tip()).to_contain_text("start")
    # The next line of the same entry.
    opened.page.keyboard.press("End")
    expect(opened.tip()).to_contain_text("end")
    last = series[3].y[-1]
    expect(opened.page.locator("#said")).to_have_text(f"ffe:levels=4 end: 64, {last!s}")
