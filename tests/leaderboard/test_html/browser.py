"""The page in a real browser, and what tests ask of it."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, Locator, Page

from encbench.results.records import StoredRecord
from tests.leaderboard.results import Results

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


def of(folder: Results, encoding: str) -> StoredRecord:
    """The folder's record of that encoding on its first task."""
    return next(
        stored
        for stored in folder.store.records()
        if (stored.record.encoding_label, stored.record.task_label)
        == (encoding, "image:image=chelsea")
    )


def eigenvalue(value: float) -> str:
    mantissa, exponent = f"{value:.2e}".split("e")
    return f"{mantissa}e{int(exponent)}"
