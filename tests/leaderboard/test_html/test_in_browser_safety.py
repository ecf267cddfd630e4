"""The page asks for nothing, and foreign text does nothing."""

from __future__ import annotations

import pytest
from encbench_leaderboard.render.html import write_html
from playwright.sync_api import Browser

from encbench.results.records import ErrorInfo
from tests.leaderboard.results import Results
from tests.leaderboard.test_html.browser import CHROMIUM, Opened

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")


HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=2>'\"&amp;"


def test_the_page_asks_for_nothing_and_complains_of_nothing(opened: Opened) -> None:
    for place in range(2):
        opened.page.locator("#task").select_option(index=place)
    opened.page.wait_for_timeout(100)
    assert [url for url in opened.asked if not url.startswith("data:")] == opened.asked[:1]


def test_hostile_labels_are_shown_and_do_nothing(results: Results, browser: Browser) -> None:
    results.add(HOSTILE, task=f"image:{HOSTILE}")
    error = ErrorInfo(type="ValueError", message=HOSTILE)
    results.add("b", task=f"image:{HOSTILE}", status="failed", error=error, psnr=None)
    results.add("b", task="image:other")
    opened = Opened(browser, write_html(results.directory))
    page = opened.page
    assert HOSTILE in opened.entries()
    page.locator("#standings-table .unfold").first.click()
    page.locator("#spectra .legend button").first.focus()
    page.keyboard.press("ArrowRight")
    assert opened.tip().startswith(HOSTILE)
    assert page.evaluate("window.hacked") is None
    assert page.locator("script").count() == 2
    assert page.locator("img[src=x]").count() == 0
    assert opened.said == []
    page.close()


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
