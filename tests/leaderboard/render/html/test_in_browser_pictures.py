"""Two pictures side by side, and the divider between them."""

from __future__ import annotations

import base64
import re
from pathlib import Path

import pytest
from encbench_leaderboard.render.html import write_html
from playwright.sync_api import Locator, expect

from tests.leaderboard.render.html.browser import CHROMIUM, Opened
from tests.leaderboard.render.html.pages import page

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")


def pictures(opened: Opened) -> Locator:
    """The pictures of the task, scrolled to and drawn."""
    found = opened.page.locator(".pictures:visible")
    found.scroll_into_view_if_needed()
    expect(found.locator("img.left")).to_have_attribute("src", re.compile("^data:image/png"))
    return found


def test_the_divider_moves_by_keys(shared: Opened) -> None:
    host = pictures(shared)
    divider = host.get_by_role("slider")
    divider.focus()
    expect(divider).to_have_value("50")
    for key, value in (("ArrowRight", "51"), ("ArrowLeft", "50"), ("Home", "0"), ("End", "100")):
        shared.page.keyboard.press(key)
        expect(divider).to_have_value(value)
    expect(divider).to_have_attribute("aria-valuetext", re.compile("100 % target"))


def test_the_divider_follows_mouse_and_finger(opened: Opened) -> None:
    host = pictures(opened)
    box = host.locator(".compare").bounding_box()
    assert box
    middle = box["y"] + box["height"] / 2
    opened.page.mouse.move(box["x"] + box["width"] / 2, middle)
    opened.page.mouse.down()
    opened.page.mouse.move(box["x"] + 0.8 * box["width"], middle, steps=4)
    opened.page.mouse.up()
    expect(host.get_by_role("slider")).to_have_value("80")
    clip = host.locator("img.left").evaluate("image => getComputedStyle(image).clipPath")
    assert "20%" in clip
    # what Playwright's own tap sends, which needs a new tab and so compiles Plotly again
    devtools = opened.page.context.new_cdp_session(opened.page)
    finger = {"x": box["x"] + 0.25 * box["width"], "y": middle}
    for kind, points in (("touchStart", [finger]), ("touchEnd", [])):
        devtools.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})
    expect(host.get_by_role("slider")).to_have_value("25")


def test_any_two_pictures_of_a_task_are_laid_side_by_side(shared: Opened, file: Path) -> None:
    host = pictures(shared)
    left, right = host.locator("select").all()
    expect(left.locator("option:checked")).to_have_text("target")
    expect(right.locator("option:checked")).to_have_text("prediction: identity")
    left.select_option("prediction: ffe:levels=16")
    source = host.locator("img.left").get_attribute("src") or ""
    assert base64.b64decode(source.partition(",")[2]) == (file.parent / "0-2.png").read_bytes()
    expect(host.locator("span.left")).to_have_text("prediction: ffe:levels=16, PSNR 34.0 dB")
    host.get_by_role("button", name="Swap").click()
    expect(right.locator("option:checked")).to_have_text("prediction: ffe:levels=16")
    expect(left.locator("option:checked")).to_have_text("prediction: identity")


def test_the_page_says_that_it_was_made_without_pictures(tmp_path: Path, tab: Opened) -> None:
    file = write_html(page(tmp_path), tmp_path / "page.html", pictures=False)
    tab.open(file)
    expect(tab.page.locator(".pictures:visible")).to_contain_text("made without pictures")
    assert tab.page.locator(".pictures img").count() == 0
