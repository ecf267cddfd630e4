"""Sorting, filtering and unfolding, by mouse and by keys."""

from __future__ import annotations

import pytest
from encbench_leaderboard.render.html import write_html
from playwright.sync_api import Browser

from tests.leaderboard.results import Results
from tests.leaderboard.test_html.browser import CHROMIUM, Opened

pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")


RANKED = ["mpe:levels=2", "ffe:levels=16", "ffe:levels=4", "huge", "siren"]


def test_every_column_sorts_by_its_numbers_both_ways_and_missing_ones_stay_last(
    opened: Opened,
) -> None:
    task = opened.data()["tasks"][0]
    labels = [entry["label"] for entry in opened.data()["entries"]]
    for place, column in enumerate(task["columns"]):
        keyed = [(row["sort"][place], labels[row["entry"]]) for row in task["rows"]]
        present = [pair for pair in keyed if pair[0] is not None]
        missing = [label for key, label in keyed if key is None]
        for descending in (column["descending"], not column["descending"]):
            opened.head(column["title"]).click()
            expected = sorted(present, key=lambda p: p[0], reverse=descending)
            if len({key for key, _ in present}) == len(present):
                assert opened.entries() == [label for _, label in expected] + missing
            direction = "descending" if descending else "ascending"
            head = opened.page.locator("#standings-table th[aria-sort]")
            assert head.get_attribute("aria-sort") == direction
            assert head.inner_text().startswith(column["title"])


def test_names_sort_by_the_size_of_their_numbers(opened: Opened) -> None:
    opened.head("encoding").click()
    assert opened.entries() == ["ffe:levels=4", "ffe:levels=16", "huge", "mpe:levels=2", "siren"]


def test_keys_alone_sort_filter_and_unfold(opened: Opened) -> None:
    page = opened.page
    opened.head("PSNR [dB]").focus()
    page.keyboard.press("Enter")
    page.keyboard.press("Enter")
    assert opened.entries()[:3] == RANKED[2::-1]
    page.locator("#find").focus()
    page.keyboard.type("FFE")
    assert opened.entries() == ["ffe:levels=4", "ffe:levels=16"]
    page.locator("#find").fill("")
    page.locator("#status input[value=diverged]").focus()
    page.keyboard.press("Space")
    assert opened.entries() == ["siren"]
    page.locator("#standings-table .unfold").focus()
    page.keyboard.press("Enter")
    assert "diverged" in page.locator(".unfolded").inner_text()
    page.keyboard.press("Enter")
    assert page.locator(".unfolded").count() == 0


def test_the_arrow_keys_walk_from_row_to_row(opened: Opened) -> None:
    opened.page.locator("#standings-table .unfold").first.focus()
    for _ in range(2):
        opened.page.keyboard.press("ArrowDown")
    label = opened.page.evaluate("document.activeElement.getAttribute('aria-label')")
    assert label == f"Details of {RANKED[2]}"


def test_filters_are_joined_and_counted_and_cleared_together(opened: Opened) -> None:
    page = opened.page
    assert page.locator("#status").inner_text().split("\n")[-3:] == [
        "ok 3",
        "diverged 1",
        "failed 1",
    ]
    page.locator("#status label", has_text="failed").click()
    page.locator("#status label", has_text="ok").click()
    assert opened.entries() == [RANKED[0], RANKED[1], RANKED[2], "huge"]
    page.locator("#find").fill("room")
    assert opened.entries() == ["huge"]
    assert page.locator("#shown").inner_text() == "1 of 5 entries"
    page.locator("#find").fill("nothing like this")
    assert opened.entries() == []
    assert "No entry passes" in page.locator("#standings-table").inner_text()
    page.locator("button[type=reset]").click()
    page.wait_for_function("document.getElementById('shown').textContent === '5 entries'")
    assert opened.entries() == RANKED


def test_another_task_has_its_own_entries_and_all_tasks_all(opened: Opened) -> None:
    page = opened.page
    page.locator("#task").select_option(label="image:image=other")
    assert opened.entries() == ["ffe:levels=4"]
    assert opened.column("PSNR [dB] ↑") == ["22.00"]
    page.locator("#task").select_option(label="All tasks")
    assert len(opened.entries()) == 6
    assert opened.column("task").count("image:image=other") == 1


def test_a_link_opens_its_task(opened: Opened) -> None:
    opened.page.locator("#task").select_option(label="image:image=other")
    opened.page.reload()
    opened.page.wait_for_selector("html[data-ready]")
    assert opened.entries() == ["ffe:levels=4"]
    assert opened.page.locator("#task option:checked").inner_text() == "image:image=other"


def test_a_failure_shows_its_phase_and_reason_and_hides_its_traceback(opened: Opened) -> None:
    page = opened.page
    row = page.locator("#standings-table tr.failed", has_text="huge")
    assert "in training: ValueError: no room for it" in row.inner_text()
    row.locator(".unfold").click()
    told = page.locator(".unfolded").inner_text()
    assert "no room for it" in told
    assert "secret" not in page.content()


def test_rows_are_drawn_as_they_are_scrolled_to(results: Results, browser: Browser) -> None:
    for place in range(250):
        results.add(f"e:n={place}", psnr=20 + place / 50, points=0, curves=False, pictures=False)
    opened = Opened(browser, write_html(results.directory))
    rows = opened.page.locator("#standings-table tbody tr")
    drawn = rows.count()
    assert drawn <= 100
    frame = opened.page.locator("#standings-table .scroll")
    for _ in range(30):
        frame.evaluate("f => f.scrollTo(0, f.scrollHeight)")
        opened.page.wait_for_timeout(30)
        if rows.count() == 250:
            break
    assert rows.count() == 250
    opened.head("encoding").click()
    assert opened.entries()[:3] == ["e:n=0", "e:n=1", "e:n=2"]
    opened.page.locator("#find").fill("n=249")
    assert opened.entries() == ["e:n=249"]
    assert opened.said == []
    opened.page.close()


def test_a_category_is_shown_pooled_beside_the_plots_of_one_of_its_tasks(
    results: Results, browser: Browser
) -> None:
    for image, psnr in (("cat", 30.0), ("dog", 20.0)):
        stored = results.add("a", task=f"image:image={image}", psnr=psnr)
        task = stored.record.cell.task.model_copy(update={"parameters": {"image": image}})
        cell = stored.record.cell.model_copy(update={"task": task, "data_hash": image * 20})
        arrays = {**stored.arrays, "spectrum_end": stored.arrays["spectrum_end"] * psnr}
        results.store.write(stored.record.model_copy(update={"cell": cell}), arrays, {})
    opened = Opened(browser, write_html(results.directory))
    page = opened.page
    assert page.locator("#task option:checked").inner_text() == "image:image=*"
    assert opened.column("PSNR [dB] ↑") == ["25.00"]
    choice = page.locator("#spectra [data-task-name] select")
    assert choice.locator("option").all_inner_texts() == ["image:image=cat", "image:image=dog"]
    tips = []
    for label in ("image:image=cat", "image:image=dog"):
        choice.select_option(label=label)
        page.locator("#spectra .legend button").focus()
        page.keyboard.press("Home")
        tips.append(float(opened.tip().split("λ = ")[1].split()[0]))
    assert tips[0] / tips[1] == pytest.approx(1.5, rel=1e-2)
    assert page.locator("#task option:checked").inner_text() == "image:image=*"
    assert opened.said == []
    page.close()
