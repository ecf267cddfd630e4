"""Two pictures side by side, and the divider between them."""

from __future__ import annotations

import base64

import pytest
from encbench_leaderboard.render.html import write_html
from playwright.sync_api import Browser

from tests.leaderboard.results import Results
from tests.leaderboard.test_html.browser import CHROMIUM, Opened, of

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")


def test_the_divider_moves_by_keys(opened: Opened) -> None:
    handle = opened.page.locator("#pictures [role=slider]")
    handle.focus()
    now = lambda: handle.get_attribute("aria-valuenow")  # noqa: E731 # read anew each time
    assert now() == "50"
    for key, expected in (
        ("ArrowRight", "52"),
        ("ArrowUp", "54"),
        ("ArrowLeft", "52"),
        ("Shift+ArrowLeft", "42"),
        ("PageUp", "52"),
        ("Home", "0"),
        ("ArrowLeft", "0"),
        ("End", "100"),
        ("ArrowRight", "100"),
    ):
        opened.page.keyboard.press(key)
        assert now() == expected


def test_the_divider_follows_mouse_and_finger(results: Results, browser: Browser) -> None:
    results.add("a")
    opened = Opened(browser, write_html(results.directory), has_touch=True)
    page = opened.page
    frame = page.locator("#pictures .compare")
    frame.scroll_into_view_if_needed()
    box = frame.bounding_box()
    assert box
    handle = page.locator("#pictures [role=slider]")
    middle = box["y"] + box["height"] / 2
    page.mouse.move(box["x"] + box["width"] / 2, middle)
    page.mouse.down()
    page.mouse.move(box["x"] + 0.8 * box["width"], middle, steps=4)
    assert handle.get_attribute("aria-valuenow") == "80"
    clip = page.locator("#pictures img.left").evaluate("i => getComputedStyle(i).clipPath")
    assert "20%" in clip
    page.mouse.up()
    page.mouse.move(box["x"] + 0.1 * box["width"], middle)
    assert handle.get_attribute("aria-valuenow") == "80"
    page.touchscreen.tap(box["x"] + 0.25 * box["width"], middle)
    assert handle.get_attribute("aria-valuenow") == "25"
    assert opened.said == []
    page.close()


def test_any_two_pictures_of_a_task_are_laid_side_by_side(opened: Opened, folder: Results) -> None:
    page = opened.page
    left, right = (page.locator("#pictures select").nth(place) for place in (0, 1))
    assert left.locator("option:checked").inner_text() == "target"
    assert right.locator("option:checked").inner_text() == "prediction: mpe:levels=2"
    left.select_option(label="prediction: ffe:levels=16")
    stored = of(folder, "ffe:levels=16")
    source = page.locator("#pictures img.left").get_attribute("src") or ""
    content = base64.b64decode(source.partition(",")[2])
    assert content == (stored.path / "prediction.png").read_bytes()
    assert page.locator("#pictures img.left").evaluate("image => image.naturalWidth") == 67


def test_the_page_says_that_it_was_made_without_pictures(
    results: Results, browser: Browser
) -> None:
    results.add("a")
    opened = Opened(browser, write_html(results.directory, pictures=False))
    told = opened.page.locator("#pictures").inner_text()
    assert "made without pictures" in told
    assert opened.page.locator("#pictures img").count() == 0
    opened.page.close()
