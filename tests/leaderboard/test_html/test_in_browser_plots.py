"""Plots answer pointer and keys with the records' own numbers."""

from __future__ import annotations

import re

import numpy as np
import pytest
from encbench_leaderboard.render.html import write_html
from playwright.sync_api import Browser

from encbench.contracts.metric import MetricValue
from tests.leaderboard.results import Results
from tests.leaderboard.test_html.browser import CHROMIUM, Opened, eigenvalue, of

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")


def test_hovering_a_spectrum_tells_the_records_own_eigenvalue(
    opened: Opened, folder: Results
) -> None:
    page = opened.page
    page.locator("#spectra svg").scroll_into_view_if_needed()
    box = page.locator("#spectra svg").bounding_box()
    assert box
    seen = set()
    for x in (0.2, 0.5, 0.9):
        for y in (0.15, 0.35, 0.5):
            page.mouse.move(box["x"] + x * box["width"], box["y"] + y * box["height"])
            told = opened.tip()
            found = re.search(r"index (\d+) of 64\nλ = (\S+)\n", told)
            if not page.locator("#tip").is_visible() or not found:
                continue
            label = told.split("\n")[0]
            assert (
                eigenvalue(of(folder, label).arrays["spectrum_end"][int(found[1]) - 1]) == found[2]
            )
            seen.add(label)
            lit = page.locator("#spectra g.line.lit")
            labels = [e["label"] for e in opened.data()["entries"]]
            assert labels[int(lit.first.get_attribute("data-entry") or -1)] == label
    assert len(seen) > 1


def test_the_arrow_keys_walk_along_a_line(opened: Opened, folder: Results) -> None:
    page = opened.page
    page.locator("#spectra .legend button", has_text="mpe").focus()
    values = of(folder, "mpe:levels=2").arrays["spectrum_end"]
    for index in (1, 2, 3):
        page.keyboard.press("ArrowRight")
        assert f"index {index} of 64\nλ = {eigenvalue(values[index - 1])}" in opened.tip()
    page.keyboard.press("End")
    assert f"index 64 of 64\nλ = {eigenvalue(values[63])}" in opened.tip()
    page.keyboard.press("Escape")
    assert not page.locator("#tip").is_visible()
    page.locator("#spectra label", has_text="start").click()
    page.locator("#spectra .legend button", has_text="mpe").focus()
    page.keyboard.press("Home")
    assert "end of training" in opened.tip()
    page.keyboard.press("ArrowUp")
    first = of(folder, "mpe:levels=2").arrays["spectrum_start"][0]
    assert f"start of training\nindex 1 of 64\nλ = {eigenvalue(first)}" in opened.tip()


def test_lines_end_where_the_floor_begins(opened: Opened) -> None:
    deep = next(
        lines
        for entry, lines in opened.data()["tasks"][0]["lines"].items()
        if opened.data()["entries"][int(entry)]["label"] == "ffe:levels=4"
    )["spectra"]["end"]
    assert deep["resolved"] < deep["size"]
    page = opened.page
    page.locator("#spectra .legend button", has_text="levels=4").focus()
    page.keyboard.press("End")
    assert f"index {deep['resolved']} of 64" in opened.tip()
    node = page.locator("#spectra g.line.lit path.end")
    assert node.count() == 1
    floor = page.locator("#spectra .floor-line").get_attribute("y1")
    bottom = page.locator("#spectra g.line.lit path:not(.end)").evaluate(
        "path => path.getBBox().y + path.getBBox().height"
    )
    assert bottom <= float(floor or 0) + 1


def test_moments_and_parts_of_the_kernel_are_chosen(opened: Opened) -> None:
    lines = opened.page.locator("#spectra g.line")
    assert lines.count() == 3
    opened.page.locator("#spectra label", has_text="start").click()
    opened.page.locator("#spectra label", has_text="middle").click()
    assert lines.count() == 9
    before = lines.first.locator("path").first.get_attribute("d")
    opened.page.locator("#spectra label", has_text="MLP").click()
    assert lines.first.locator("path").first.get_attribute("d") != before
    for moment in ("start", "middle", "end"):
        opened.page.locator("#spectra label", has_text=moment).click()
    assert "No entry" in opened.page.locator("#spectra .drawing").inner_text()


def test_pointing_at_a_row_lights_its_lines_and_shows_its_spectrum(opened: Opened) -> None:
    page = opened.page
    page.evaluate("scrollTo(0, 0)")
    row = page.locator("#standings-table tbody tr").nth(1)
    row.hover()
    assert page.locator("#spectra g.line.lit").count() == 1
    assert page.locator("#spectra g.line.dim").count() == 2
    assert page.locator("#peek").is_visible() or page.locator("#spectra svg").is_visible()
    page.mouse.move(2, 2)
    assert page.locator("#spectra g.line.lit").count() == 0


def test_a_curve_tells_its_step_and_value(opened: Opened, folder: Results) -> None:
    page = opened.page
    page.locator("#curves label", has_text="quality").click()
    page.locator("#curves .legend button", has_text="mpe").focus()
    page.keyboard.press("End")
    stored = of(folder, "mpe:levels=2")
    assert "step 1,000" in opened.tip()
    told = float(opened.tip().rsplit(": ", 1)[1])
    assert told == pytest.approx(stored.arrays["curve"][-1], rel=1e-3)


def test_the_stepped_line_goes_through_what_nothing_beats(
    results: Results, browser: Browser
) -> None:
    rng = np.random.default_rng(3)
    made = {}
    for place in range(14):
        quality, size = float(rng.uniform(20, 40)), int(rng.integers(1, 9)) * 1000
        metrics = {
            "psnr": MetricValue(value=quality, unit="dB"),
            "loss": MetricValue(value=-quality, direction="lower"),
        }
        parameters = {"mlp": size, "encoding": 0}
        results.add(f"e{place}", metrics=metrics, parameters=parameters, points=0, pictures=False)
        made[f"e{place}"] = (size, quality)
    front = {
        a
        for a, (cost, quality) in made.items()
        if not any(
            (c <= cost and q >= quality and (c, q) != (cost, quality)) for c, q in made.values()
        )
    }
    opened = Opened(browser, write_html(results.directory))
    marks = opened.page.locator("#cost .mark[aria-label*='on the front']")
    names = [mark.get_attribute("aria-label") or "" for mark in marks.all()]
    assert {name.split(",")[0] for name in names} == front
    steps = opened.page.locator("#cost .front").get_attribute("d") or ""
    assert len(re.findall("[MV]", steps)) == len(front)
    assert opened.said == []
    opened.page.close()


def test_the_arrow_keys_walk_from_mark_to_mark(opened: Opened) -> None:
    page = opened.page
    page.locator("#cost .mark[tabindex='0']").focus()
    first = opened.tip()
    page.keyboard.press("ArrowRight")
    assert opened.tip() != first
    assert "parameters: " in opened.tip()
    assert page.locator("#cost .mark[tabindex='0']").count() == 1
