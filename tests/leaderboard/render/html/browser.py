"""A page in a real browser, with methods for tests."""

from __future__ import annotations

import re
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from playwright.sync_api import Browser, Locator, Page, expect

BROWSERS = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome")
"""The first opens a page in less than half the time: it has no window around it."""
CHROMIUM = next(filter(None, map(shutil.which, BROWSERS)), None)
QUIET = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# A busy machine takes its time to parse Plotly.
expect.set_options(timeout=60_000)
Scheme = Literal["light", "dark"]


class Opened:
    """A tab of the browser, with the requests and console messages of its page.

    Pages are opened in one tab, one after another: in a new tab each would compile Plotly again,
    which takes seconds.
    """

    def __init__(self, browser: Browser, **options: Any) -> None:
        self.page: Page = browser.new_page(**options)
        self.page.set_default_timeout(60_000)
        self.said: list[str] = []
        self.asked: list[str] = []
        self.at_first = False  # whether everything that was done to the page is in its address
        self.page.on("console", lambda message: self.said.append(message.text))
        self.page.on("pageerror", lambda error: self.said.append(str(error)))
        self.page.on("request", lambda request: self.asked.append(request.url))

    def open(self, file: Path, hash: str = "", color_scheme: Scheme = "light") -> None:
        """Open a page, with nothing left of the one before."""
        self.at_first = False
        self.page.goto("about:blank")
        self.page.mouse.move(0, 0)
        self.page.set_viewport_size({"width": 1280, "height": 900})
        self.page.emulate_media(media="screen", color_scheme=color_scheme, reduced_motion="reduce")
        self.said.clear()
        self.asked.clear()
        self.page.goto(file.as_uri() + hash)
        self.ready()

    def again(self, file: Path) -> None:
        """Open a page, or bring it back to its first state if it was opened by this method.

        Drawing its figures anew takes a second. A test that does more than point and change what
        the address holds must open the page instead.
        """
        if not self.at_first or self.page.url.partition("#")[0] != file.as_uri():
            self.open(file)
            self.at_first = True
            return
        self.page.mouse.move(0, 0)
        self.page.evaluate(
            """() => new Promise((done) => {
              // after what the last test chose is in the address, which takes the page 0.1 s
              setTimeout(() => {
                addEventListener("hashchange", () => done(), { once: true });
                location.hash = `#find=&time=${performance.now()}`;
                scrollTo(0, 0);
              }, 110);
            })"""
        )

    def ready(self) -> None:
        self.page.wait_for_selector("html[data-ready]")

    def reload(self) -> None:
        self.page.reload()
        self.ready()

    def table(self, name: str = "standings") -> Locator:
        """The visible table of that name."""
        return self.page.locator(f".table[data-name={name}]:visible").first

    def rows(self, name: str = "standings") -> Locator:
        return self.table(name).locator("tbody > tr[tabindex]")

    def entries(self, name: str = "standings") -> Locator:
        """Cells with the labels, from the top down."""
        return self.rows(name).locator("td.code")

    def shows(self, labels: Sequence[str], name: str = "standings") -> None:
        """Expect that these are the entries of a table."""
        expect(self.entries(name)).to_have_text(list(labels))

    def begins(self, labels: Sequence[str]) -> None:
        """Expect that these are the first entries of the standings."""
        for place, label in enumerate(labels):
            expect(self.entries().nth(place)).to_have_text(label)

    def head(self, title: str, name: str = "standings") -> Locator:
        return self.table(name).locator("thead th", has_text=title)

    def sort(self, title: str, name: str = "standings") -> None:
        head = self.head(title, name)
        before = head.get_attribute("aria-sort")
        head.locator(".dt-column-header").click()
        # Sorting takes a moment.
        if before:
            expect(head).not_to_have_attribute("aria-sort", before)
        else:
            expect(head).to_have_attribute("aria-sort", re.compile("ending"))

    def opened(self) -> Locator:
        """The details of an opened row."""
        return self.table().locator(".details")

    def figure(self, name: str) -> Locator:
        """A visible figure, scrolled to and drawn."""
        found = self.page.locator(f".figure[data-name={name}]:visible").first
        found.scroll_into_view_if_needed()
        expect(found).to_have_attribute("data-ready", "")
        return found

    def choose(self, name: str, choice: str, option: str) -> None:
        """Choose an option of a figure."""
        self.figure(name).locator(f"select[name={choice}]").select_option(option)

    def plot(self, name: str) -> Any:
        """Axes and traces of a drawn figure, as Plotly has them."""
        return (
            self.figure(name)
            .locator(".plot")
            .evaluate(
                """plot => ({
              x: plot._fullLayout.xaxis.title.text, xtype: plot._fullLayout.xaxis.type,
              ytype: plot._fullLayout.yaxis.type, range: [...plot._fullLayout.xaxis.range],
              traces: plot.data.map(({ x, y, visible, meta, uid, mode, fill, line }) => ({
                x: Array.from(x), y: Array.from(y), visible, uid, mode, fill: fill ?? "",
                colour: line.color, ...meta })),
            })"""
            )
        )

    def tip(self) -> Locator:
        """The label of what is hovered over in a figure."""
        return self.page.locator(".hoverlayer .hovertext")

    def stayed_quiet(self) -> None:
        """Assert that there were no console messages, and no requests for anything outside."""
        assert self.said == []
        outside = [url for url in self.asked if not url.startswith(("data:", "file:", "blob:"))]
        assert outside == []
