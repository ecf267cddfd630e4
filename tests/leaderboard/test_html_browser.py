"""The HTML page in a real browser: what it shows, and how it answers mouse, touch and keys."""

from __future__ import annotations

import base64
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encbench_leaderboard.html import write_html
from playwright.sync_api import Browser, Locator, Page, sync_playwright

from encbench.metrics.base import MetricValue
from encbench.records import ErrorInfo, StoredRecord

from .results import Results, diverged

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium is installed here")
HOSTILE = "</script><script>window.hacked=1</script><img src=x onerror=window.hacked=2>'\"&amp;"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield started
        started.close()


class Opened:
    """A page in the browser, with everything it asked for and complained of."""

    def __init__(self, browser: Browser, file: Path, **options: Any) -> None:
        self.page: Page = browser.new_page(**{"viewport": {"width": 1280, "height": 900}} | options)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))
        self.page.goto(file.as_uri())
        self.page.wait_for_selector("html[data-ready]")

    def entries(self) -> list[str]:
        """Labels in the table of standings, from the top down."""
        cells = self.page.locator("#standings-table tbody th.name code")
        return [text.replace(", ", ",") for text in cells.all_inner_texts()]

    def column(self, title: str) -> list[str]:
        heads = self.page.locator("#standings-table thead tr:last-child th").all_inner_texts()
        place = [re.sub(r"[▲▼\s]+$", "", head) for head in heads].index(title) + 1
        rows = self.page.locator(f"#standings-table > div tbody > tr > :nth-child({place})")
        return [text.split("\n")[0] for text in rows.all_inner_texts()]

    def head(self, title: str) -> Locator:
        return self.page.locator("#standings-table thead button", has_text=title).first

    def tip(self) -> str:
        return self.page.locator("#tip").inner_text()

    def data(self) -> dict[str, Any]:
        found: dict[str, Any] = self.page.evaluate(
            "JSON.parse(document.getElementById('data').textContent)"
        )
        return found


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Results:
    """Five entries on one task, one of them diverged and one failed, and another task."""
    results = Results(tmp_path_factory.mktemp("run"))
    results.add("ffe:levels=4", psnr=25.0, decades=20.0)
    results.add("mpe:levels=2", psnr=41.0, decades=8.0)
    results.add("ffe:levels=16", psnr=34.0, decades=10.0)
    results.add("siren", status="diverged", error=diverged(1234), psnr=None, points=0)
    error = ErrorInfo(type="ValueError", message="no room for it", traceback="Traceback: secret")
    results.add("huge", status="failed", error=error, psnr=None, points=0, curves=False)
    results.add("ffe:levels=4", psnr=22.0, task="image:image=other")
    write_html(results.directory)
    return results


def of(folder: Results, encoding: str) -> StoredRecord:
    """The folder's record of that encoding on its first task."""
    return next(
        stored
        for stored in folder.store.records()
        if (stored.record.encoding_label, stored.record.task_label)
        == (encoding, "image:image=chelsea")
    )


@pytest.fixture
def opened(folder: Results, browser: Browser) -> Iterator[Opened]:
    page = Opened(browser, folder.directory / "leaderboard.html")
    yield page
    assert page.said == []
    outside = [url for url in page.asked if not url.startswith(("data:", "file:"))]
    assert outside == []
    page.page.close()


RANKED = ["mpe:levels=2", "ffe:levels=16", "ffe:levels=4", "huge", "siren"]


def test_the_page_asks_for_nothing_and_complains_of_nothing(opened: Opened) -> None:
    for place in range(2):
        opened.page.locator("#task").select_option(index=place)
    opened.page.wait_for_timeout(100)
    assert [url for url in opened.asked if not url.startswith("data:")] == opened.asked[:1]


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


def test_the_first_key_offers_to_skip_to_the_table(opened: Opened) -> None:
    opened.page.keyboard.press("Tab")
    assert opened.page.evaluate("document.activeElement.className") == "skip"
    opened.page.keyboard.press("Enter")
    assert opened.page.evaluate("document.activeElement.id") == "standings"


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


def eigenvalue(value: float) -> str:
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"


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
    told = opened.page.locator("#cost .note").inner_text()
    assert set(re.findall(r"e\d+", told)) == front
    marks = opened.page.locator("#cost .mark[aria-label*='on the front']")
    assert marks.count() == len(front)
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


def ground(page: Page) -> str:
    found: str = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    return found


def test_the_theme_is_the_systems_until_the_button_says_otherwise(
    results: Results, browser: Browser
) -> None:
    results.add("a")
    file = write_html(results.directory)
    opened = Opened(browser, file, color_scheme="dark")
    page = opened.page
    button = page.locator("#theme")
    assert button.get_attribute("aria-pressed") == "true"
    dark = ground(page)
    button.click()
    light = ground(page)
    assert dark != light
    page.reload()
    page.wait_for_selector("html[data-ready]")
    assert ground(page) == light
    assert page.locator("#theme").get_attribute("aria-pressed") == "false"
    page.emulate_media(media="print", color_scheme="dark")
    assert not page.locator("nav").is_visible()
    page.close()


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
      || node.closest(".compare") || node.closest("option")) continue;
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
    page.locator("#standings-table .unfold").last.click()
    page.locator("#status label", has_text="failed").click()
    assert page.evaluate(CONTRASTS) == []


@pytest.mark.parametrize("width", [360, 768])
def test_a_narrow_window_scrolls_tables_and_not_the_page(opened: Opened, width: int) -> None:
    page = opened.page
    page.set_viewport_size({"width": width, "height": 700})
    page.locator("#standings-table .unfold").first.click()
    page.locator("#task").select_option(label="All tasks")
    page.wait_for_timeout(100)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    frame = page.locator("#standings-table .scroll").first
    assert frame.evaluate("f => f.scrollWidth > f.clientWidth") or width > 360
    for name in ("spectra", "curves", "cost"):
        inside = page.locator(f"#{name} svg").evaluate("s => s.getBoundingClientRect().right")
        assert inside <= width


def test_motion_is_only_for_those_who_do_not_mind(opened: Opened) -> None:
    behaviour = "getComputedStyle(document.documentElement).scrollBehavior"
    opened.page.emulate_media(reduced_motion="reduce")
    assert opened.page.evaluate(behaviour) == "auto"
    opened.page.emulate_media(reduced_motion="no-preference")
    assert opened.page.evaluate(behaviour) == "smooth"


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
