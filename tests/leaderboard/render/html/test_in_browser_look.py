"""Themes, contrast, narrow windows and paper."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from tests.leaderboard.render.html.browser import CHROMIUM, Opened

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")


def test_the_first_key_offers_to_skip_to_the_content(opened: Opened) -> None:
    opened.page.keyboard.press("Tab")
    expect(opened.page.locator(".skip")).to_be_focused()
    opened.page.keyboard.press("Enter")
    expect(opened.page.locator("main")).to_be_focused()


def test_focus_is_seen(opened: Opened) -> None:
    for selector in ("#task", "#find", "tbody tr[tabindex='0']", "#theme"):
        node = opened.page.locator(selector).first
        opened.page.keyboard.press("Tab")  # the keyboard is in use
        node.focus()
        assert node.evaluate("node => getComputedStyle(node).outlineStyle") == "solid"


def ground(page: Page) -> str:
    found: str = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    return found


def test_the_theme_is_the_systems_until_another_is_chosen(file: Path, tab: Opened) -> None:
    tab.open(file, color_scheme="dark")
    page = tab.page
    expect(page.locator("#theme")).to_have_value("system")
    dark, lines = ground(page), {t["colour"] for t in tab.plot("spectra")["traces"]}
    page.locator("#theme").select_option("light")
    light = ground(page)
    assert dark != light
    assert {t["colour"] for t in tab.plot("spectra")["traces"]} != lines
    expect(page).to_have_url(re.compile("theme=light"))
    tab.reload()
    assert ground(page) == light
    expect(page.locator("#theme")).to_have_value("light")
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator("nav").is_visible()


CONTRASTS = """() => {
  const channels = (text) => {
    const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });
    canvas.fillStyle = text;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const luminance = ([r, g, b]) => [r, g, b].map((c) => c / 255)
    .map((c) => (c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4))
    .reduce((sum, c, i) => sum + c * [0.2126, 0.7152, 0.0722][i], 0);
  const groundOf = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const found = channels(getComputedStyle(at).backgroundColor);
      if (found[3] === 255) return found;
    }
    return [255, 255, 255, 255];
  };
  const poor = [];
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (walker.nextNode()) {
    const node = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !node.checkVisibility() || node.closest("script")
      || node.closest(".compare") || node.closest("option") || node.closest(".modebar")) continue;
    const style = getComputedStyle(node);
    const ink = channels(node.closest("svg") ? style.fill : style.color);
    const [high, low] = [luminance(ink), luminance(groundOf(node))].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05);
    if (ratio < 4.5) poor.push(`${ratio.toFixed(2)} ${walker.currentNode.data.trim()}`);
  }
  return poor;
}"""


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_all_text_has_the_contrast_that_wcag_asks_for(opened: Opened, scheme: Any) -> None:
    page = opened.page
    page.emulate_media(color_scheme=scheme)
    for name in ("spectra", "curves", "cost"):
        opened.figure(name)
    opened.figure("curves").locator(".legend button").first.click()
    opened.rows().last.locator(".c-psnr").click()
    page.locator("#status label", has_text="failed").click()
    assert page.evaluate(CONTRASTS) == []


@pytest.mark.parametrize("width", [390, 768])
def test_a_narrow_window_scrolls_tables_and_not_the_page(opened: Opened, width: int) -> None:
    page = opened.page
    page.set_viewport_size({"width": width, "height": 700})
    opened.rows().first.locator(".code").click()
    page.locator("#task").select_option(label="All tasks")
    for name in ("spectra", "curves", "cost"):
        drawn = opened.figure(name).locator("svg.main-svg").first
        assert drawn.evaluate("svg => svg.getBoundingClientRect().right") <= width
    spectra = opened.figure("spectra")
    buttons, plot = spectra.locator(".modebar-group").first, spectra.locator(".plot")
    box, around = buttons.bounding_box(), plot.bounding_box()
    assert box
    assert around
    above = plot.evaluate("plot => plot._fullLayout._size.t") - (
        box["y"] + box["height"] - around["y"]
    )
    assert above >= 18 or width > 390, "Plotly's buttons lie on the title of a panel"
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    frame = opened.table().locator(".dt-layout-table")
    assert frame.evaluate("f => f.scrollWidth > f.clientWidth") or width > 390
    # a table that does not fill its page is not cut below
    assert frame.evaluate("f => f.scrollHeight <= f.clientHeight")
    row = opened.rows().first
    box = row.locator(".c-psnr").bounding_box()
    assert box
    assert box["x"] + box["width"] <= width
    name = row.locator(".c-encoding").bounding_box()
    assert name
    assert name["width"] <= (0.45 * width if width == 390 else 420)


def test_figures_follow_the_width_of_the_window(opened: Opened) -> None:
    wide = opened.figure("cost").locator("svg.main-svg").first
    before = wide.evaluate("svg => svg.getBoundingClientRect().width")
    opened.page.set_viewport_size({"width": 500, "height": 900})
    card = opened.figure("cost").bounding_box()
    assert card
    expect(wide).not_to_have_css("width", f"{before}px")
    assert wide.evaluate("svg => svg.getBoundingClientRect().width") < card["width"] < before


def test_motion_is_only_for_those_who_do_not_mind(opened: Opened) -> None:
    behaviour = "getComputedStyle(document.documentElement).scrollBehavior"
    assert opened.page.evaluate(behaviour) == "auto"
    opened.page.emulate_media(reduced_motion="no-preference")
    assert opened.page.evaluate(behaviour) == "smooth"


def test_paper_holds_the_whole_table_in_its_width(opened: Opened) -> None:
    page = opened.page
    # A4 on its side between the page's margins, at 96 pixels an inch.
    page.set_viewport_size({"width": 1045, "height": 720})
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1045
    assert not page.locator("#bar").is_visible()
    frame = opened.table().locator(".dt-layout-table")
    assert frame.evaluate("f => f.scrollWidth <= f.clientWidth")
    assert ground(page) == "rgb(255, 255, 255)"
