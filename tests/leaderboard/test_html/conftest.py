"""A browser, and a page in it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from encbench_leaderboard.render.html import write_html
from playwright.sync_api import Browser, sync_playwright

from encbench.results.records import ErrorInfo
from tests.leaderboard.results import Results, diverged
from tests.leaderboard.test_html.browser import CHROMIUM, QUIET, Opened


@pytest.fixture(scope="package")
def browser() -> Iterator[Browser]:
    # Until it is stopped its event loop counts as running, which other packages' tests forbid.
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=CHROMIUM, args=QUIET)
        yield started
        started.close()


@pytest.fixture(scope="session")
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


@pytest.fixture
def opened(folder: Results, browser: Browser) -> Iterator[Opened]:
    page = Opened(browser, folder.directory / "leaderboard.html")
    yield page
    assert page.said == []
    outside = [url for url in page.asked if not url.startswith(("data:", "file:"))]
    assert outside == []
    page.page.close()
