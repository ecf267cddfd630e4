"""Sorting, filtering, opening and copying, by mouse and by keys."""

from __future__ import annotations

from pathlib import Path

import pytest
from encbench_leaderboard.render.html import write_html
from playwright.sync_api import expect

from tests.leaderboard.render.html.browser import CHROMIUM, Opened
from tests.leaderboard.render.html.pages import BIBTEX, COMMAND, ENTRIES, HOSTILE, many_entries

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")

SHOWN = [entry for entry in ENTRIES if HOSTILE not in entry]
BEST_FIRST = [SHOWN[i] for i in (3, 4, 2, 1, 0)]


def test_numbers_sort_both_ways_and_missing_ones_stay_last(shared: Opened) -> None:
    shared.shows(SHOWN)
    shared.sort("PSNR")
    shared.shows([*BEST_FIRST, "siren", "huge"])
    expect(shared.head("PSNR")).to_have_attribute("aria-sort", "descending")
    shared.sort("PSNR")
    shared.shows([*BEST_FIRST[::-1], "siren", "huge"])
    shared.sort("PSNR")
    shared.shows(SHOWN)


def test_names_sort_by_the_size_of_their_numbers(shared: Opened) -> None:
    shared.sort("encoding")
    shared.begins(["ffe:levels=4", "ffe:levels=16"])


def test_keys_alone_sort_find_filter_and_open(shared: Opened) -> None:
    page = shared.page
    shared.head("PSNR").locator("[tabindex='0']").focus()
    page.keyboard.press("Enter")
    shared.begins(BEST_FIRST)
    page.locator("#find").focus()
    page.keyboard.type("FFE")
    shared.shows(["ffe:levels=16", "ffe:levels=4"])
    shared.shows(["ffe:levels=4", "ffe:levels=16"], "overview")
    page.locator("#find").fill("")
    page.locator("#status input[value=diverged]").focus()
    page.keyboard.press("Space")
    shared.shows(["siren"])
    shared.rows().focus()
    page.keyboard.press("Enter")
    expect(shared.opened()).to_contain_text(COMMAND)
    page.keyboard.press("Enter")
    expect(shared.opened()).to_have_count(0)


def test_what_is_filtered_away_under_the_pointer_is_no_longer_lit(shared: Opened) -> None:
    rules = "() => document.adoptedStyleSheets[0].cssRules.length"
    shared.entries().filter(has_text="siren").hover()
    assert shared.page.evaluate(rules) > 0
    shared.page.evaluate("() => { location.hash = '#find=nothing-of-that-name' }")
    expect(shared.rows()).to_have_count(0)
    assert shared.page.evaluate(rules) == 0


def test_the_arrow_keys_walk_from_row_to_row(shared: Opened) -> None:
    shared.rows().first.focus()
    for _ in range(2):
        shared.page.keyboard.press("ArrowDown")
    shared.page.keyboard.press("ArrowUp")
    expect(shared.rows().nth(1)).to_be_focused()


def test_filters_are_joined_and_counted_and_cleared_together(shared: Opened) -> None:
    page = shared.page
    chips = page.locator("#status label:visible")
    assert [text.strip() for text in chips.all_inner_texts()] == ["ok 5", "diverged 1", "failed 1"]
    chips.nth(1).click()
    chips.nth(2).click()
    shared.shows(["siren", "huge"])
    page.locator("#find").fill("hu")
    shared.shows(["huge"])
    expect(page.locator("#shown")).to_have_text("1 of 7 rows")
    page.locator("#find").fill("nothing like this")
    expect(shared.table()).to_contain_text("No entry passes")
    page.get_by_role("button", name="Clear").click()
    expect(page.locator("#shown")).to_have_text("7 rows")
    shared.shows(SHOWN)


def test_failures_stand_out_and_say_how_they_ended(shared: Opened) -> None:
    # Shown because a cell did not finish; hidden at first if all did.
    expect(shared.head("status")).to_be_visible()
    row = shared.rows().filter(has_text="siren")
    expect(row.locator(".c-status")).to_have_text("diverged")
    colour = "cell => getComputedStyle(cell).color"
    ok = shared.rows().first.locator(".c-status")
    assert row.locator(".c-status").evaluate(colour) != ok.evaluate(colour)


def test_find_looks_in_the_names_of_tasks_too(shared: Opened) -> None:
    page = shared.page
    page.locator("#find").fill("coffee")
    page.locator("#found").get_by_text("image:image=coffee").click()
    expect(page.locator("#task option:checked")).to_have_text("image:image=coffee")
    # A task that was found keeps its entries; a second word then chooses among them.
    shared.shows(SHOWN)
    page.locator("#find").fill("coffee levels=16")
    shared.shows(["ffe:levels=16"])


def test_another_task_has_its_own_numbers_and_all_tasks_stand_together(shared: Opened) -> None:
    page = shared.page
    page.locator("#task").select_option(label="image:image=coffee")
    expect(shared.rows().first.locator(".c-psnr")).to_contain_text("17.50")
    page.locator("#task").select_option(label="All tasks")
    expect(page.locator(".table[data-name=standings] tbody > tr[tabindex]")).to_have_count(14)
    page.locator("#task").select_option(label="image:image=chelsea")
    page.get_by_text("1 target").click()
    page.locator(".targets").get_by_text("coffee").click()
    expect(page.locator("#task option:checked")).to_have_text("image:image=coffee")


def test_an_opened_row_shows_its_cells_the_command_and_the_bibtex(opened: Opened) -> None:
    row = opened.rows().nth(1)
    row.locator(".c-psnr").click()
    inside = opened.opened()
    expect(inside).to_contain_text("25.2500")
    expect(inside).to_contain_text(COMMAND)
    assert inside.locator("pre").inner_text().strip() == BIBTEX
    expect(row).to_have_attribute("aria-expanded", "true")


def test_columns_are_chosen_and_stay_chosen(shared: Opened) -> None:
    page = shared.page
    expect(shared.head("memory")).to_have_count(0)
    shared.table().get_by_text("Columns").click()
    page.locator(".dt-button-collection").get_by_text("memory").click()
    page.keyboard.press("Escape")
    expect(shared.head("memory")).to_be_visible()
    page.locator("#task").select_option(label="image:image=coffee")
    expect(shared.head("memory")).to_be_visible()


def test_a_table_is_saved_as_csv_with_all_digits(shared: Opened) -> None:
    shared.sort("PSNR")
    with shared.page.expect_download() as started:
        shared.table().get_by_text("Save CSV").click()
    lines = Path(started.value.path()).read_text(encoding="utf-8-sig").strip().splitlines()
    names = ("rank", "encoding", "status", "psnr", "parameters", "training")
    assert lines[0] == ",".join(f'"{name}"' for name in names)
    assert lines[1] == '"4.0","mpe:resolutions=[32,64]","ok","41.0","8000.0","12.5"'
    assert lines[-1] == '"","huge","failed","","14000.0","15.5"'


def test_a_table_is_copied_as_csv(opened: Opened) -> None:
    opened.page.evaluate(
        "document.addEventListener('copy', () => { window.copied = document.activeElement.value })"
    )
    opened.table("overview").get_by_text("Copy CSV").click()
    expect(opened.page.locator(".dt-button-info")).to_contain_text("Copied 7 rows")
    lines = opened.page.evaluate("window.copied").splitlines()
    assert lines[:2] == ['"encoding","mean_rank"', '"identity","1.0"']


def test_of_many_rows_few_are_drawn(tmp_path: Path, tab: Opened) -> None:
    file = write_html(many_entries(150, 1), tmp_path / "many.html")
    tab.open(file)
    expect(tab.rows()).to_have_count(50)
    expect(tab.page.locator("#shown")).to_have_text("150 rows")
    tab.table().locator(".dt-paging").get_by_text("2", exact=True).click()
    tab.begins(["ffe:levels=50"])
    tab.sort("encoding")
    tab.sort("encoding")
    tab.begins(["ffe:levels=149"])
    tab.page.locator("#find").fill("levels=123")
    tab.shows(["ffe:levels=123"])
