"""The address holds the page's state, and edits of it by hand do no harm."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from tests.leaderboard.render.html.browser import CHROMIUM, Opened

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")


def test_everything_chosen_survives_a_reload(shared: Opened) -> None:
    page = shared.page
    page.locator("#task").select_option(label="image:image=coffee")
    page.locator("#find").fill("levels")
    page.locator("#status label").first.click()
    shared.sort("PSNR")
    shared.choose("curves", "unit", "epochs")
    shared.figure("curves").locator(".legend button").first.click()
    shared.choose("spectra", "y", "linear")
    expect(page).to_have_url(re.compile("spectra.y=linear"))
    shared.reload()
    expect(page.locator("#task option:checked")).to_have_text("image:image=coffee")
    assert page.locator("#find").input_value() == "levels"
    assert page.locator("#status input").first.is_checked()
    shared.shows(
        [
            "hashgrid:levels=8,max_resolution=128,log2_hashmap_size=12",
            "ffe:levels=16",
            "ffe:levels=4",
        ]
    )
    assert shared.plot("curves")["x"] == "epochs"
    assert shared.plot("spectra")["ytype"] == "linear"
    first = shared.figure("curves").locator(".legend button").first
    expect(first).to_have_attribute("aria-pressed", "false")


def test_an_address_edited_by_hand_is_followed(shared: Opened) -> None:
    shared.page.evaluate("location.hash = '#task=task-1&standings.sort=psnr:asc&find=levels='")
    expect(shared.page.locator("#find")).to_have_value("levels=")
    shared.begins(["ffe:levels=4", "ffe:levels=16"])
    expect(shared.page.locator("#task option:checked")).to_have_text("image:image=coffee")


def test_what_an_address_cannot_mean_is_ignored(file: Path, tab: Opened) -> None:
    bad = (
        "#task=none&standings.sort=none:asc&standings.cols=none&curves.unit=years&spectra.x=sqrt"
        "&hide=nobody&sheet.at=many&overview.sort=:desc&standings.sort=%E0%A4%A&__proto__=1&=2"
    )
    tab.open(file, bad)
    expect(tab.page.locator("#task option:checked")).to_have_text("image:image=chelsea")
    expect(tab.entries()).to_have_count(7)
    assert tab.plot("curves")["x"] == "optimizer step"
    assert tab.plot("spectra")["xtype"] == "linear"


def test_links_within_the_page_leave_the_address_alone(shared: Opened) -> None:
    shared.page.locator("#find").fill("ffe")
    expect(shared.page).to_have_url(re.compile("#find=ffe$"))
    shared.page.locator("nav").get_by_text("How to read").click()
    expect(shared.page.get_by_role("heading", name="How to read this page")).to_be_in_viewport()
    expect(shared.page).to_have_url(re.compile("#find=ffe$"))
