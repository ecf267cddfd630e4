"""A browser, and a page in it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from encbench_leaderboard.render.html import write_html
from playwright.sync_api import Browser, sync_playwright

from tests.leaderboard.render.html.browser import CHROMIUM, QUIET, Opened
from tests.leaderboard.render.html.pages import page


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    # Until it is stopped, its event loop counts as running, which other packages' tests forbid.
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield started
        started.close()


@pytest.fixture(scope="session")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tasks of seven entries, two of which did not finish."""
    folder = tmp_path_factory.mktemp("page")
    return write_html(page(folder, hostile=False), folder / "page.html")


@pytest.fixture(scope="package")
def kept_tab(browser: Browser) -> Opened:
    return Opened(browser)


@pytest.fixture
def tab(kept_tab: Opened) -> Iterator[Opened]:
    """A tab for the page that a test opens."""
    yield kept_tab
    kept_tab.stayed_quiet()


@pytest.fixture
def opened(file: Path, tab: Opened) -> Opened:
    tab.open(file)
    return tab


@pytest.fixture
def shared(file: Path, tab: Opened) -> Opened:
    """The page as it is opened, for tests that only point and change what the address holds."""
    tab.again(file)
    return tab
