"""The page makes no requests, and text from records does nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from encbench_leaderboard.render.html import write_html
from playwright.sync_api import expect

from tests.leaderboard.render.html.browser import CHROMIUM, Opened
from tests.leaderboard.render.html.pages import ENTRIES, HOSTILE, TASKS, page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")


def test_hostile_text_is_shown_everywhere_and_does_nothing(tmp_path: Path, tab: Opened) -> None:
    tab.open(write_html(page(tmp_path), tmp_path / "page.html"))
    shown = tab.page
    shown.locator("#task").select_option(label=f"image:{TASKS[2]}")
    evil = next(entry for entry in ENTRIES if HOSTILE in entry)
    expect(tab.entries().get_by_text(evil)).to_be_visible()
    tab.table().get_by_text("Columns").click()
    for column in ("custom", "reason"):
        shown.locator(".dt-button-collection").get_by_text(column).click()
    assert HOSTILE in shown.locator(".dt-button-collection").inner_text()
    shown.keyboard.press("Escape")
    assert HOSTILE in tab.table().inner_text()
    tab.rows().filter(has_text="evil").locator(".c-psnr").click()
    expect(tab.opened()).to_be_visible()
    with shown.expect_download() as started:
        tab.table().get_by_text("Save CSV").click()
    saved = Path(started.value.path()).read_text(encoding="utf-8-sig")
    assert evil.replace('"', '""') in saved
    shown.locator("#find").fill(HOSTILE)
    expect(tab.entries().get_by_text(evil)).to_be_visible()
    figure = tab.figure("curves")
    tab.choose("curves", "lines", "all")
    figure.locator(".legend button", has_text="identity").focus()
    shown.keyboard.press("End")
    expect(tab.tip()).to_contain_text("identity")
    shown.keyboard.press("Tab")
    cost = tab.figure("cost")
    cost.locator(".legend button", has_text="mpe").focus()
    shown.keyboard.press("ArrowRight")
    expect(cost.locator(".hovertext")).to_contain_text(f"custom {HOSTILE[:20]}")
    assert shown.evaluate("window.hacked") is None
    assert shown.locator("img[src=x], main script:not([type='application/json'])").count() == 0


def test_no_figure_offers_to_send_its_data_away(shared: Opened) -> None:
    buttons = shared.figure("spectra").locator(".modebar-btn")
    titles = [button.get_attribute("data-title") for button in buttons.all()]
    assert titles == ["Zoom", "Pan", "Zoom in", "Zoom out", "Autoscale", "Reset axes"]


def test_the_policy_stops_a_script_that_was_not_there_and_every_request(opened: Opened) -> None:
    stopped = opened.page.evaluate(
        """async () => {
          const script = document.createElement("script");
          script.textContent = "window.hacked = 1";
          document.head.append(script);
          document.body.insertAdjacentHTML("beforeend", "<b onclick='window.hacked = 2'>x</b>");
          document.body.lastElementChild.click();
          const asked = await fetch("https://example.org/").then(() => "answered", () => "refused");
          return [window.hacked ?? null, asked];
        }"""
    )
    assert stopped == [None, "refused"]
    assert len(opened.said) >= 3
    assert all("Content Security Policy" in text or "fetch" in text.lower() for text in opened.said)
    opened.said.clear()
    opened.asked.clear()
