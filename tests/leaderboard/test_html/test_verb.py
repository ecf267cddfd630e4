"""The verb writes both pages."""

from __future__ import annotations

from pathlib import Path

import pytest
import typer
from encbench_leaderboard.render.html import write_html
from encbench_leaderboard.verb import leaderboard
from typer.testing import CliRunner

from encbench.errors import StoreError, UsageError
from tests.leaderboard.results import Results
from tests.leaderboard.test_html.data import data_of, page


def run(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(leaderboard)
    done = CliRunner().invoke(app, [*arguments, "--no-pictures"])
    assert done.exit_code == 0, done.output
    return done.output.replace("\n", " ")


def test_the_verb_writes_both_pages_and_says_so(results: Results, tmp_path: Path) -> None:
    results.add("a")
    told = run(str(results.directory))
    for name in ("leaderboard.md", "leaderboard.html"):
        assert f"wrote {results.directory / name}" in told
        assert (results.directory / name).is_file()
    told = run(str(results.directory), "-o", str(tmp_path / "site" / "front.md"))
    assert f"wrote {tmp_path / 'site' / 'front.html'}" in told
    assert (tmp_path / "site" / "front.html").is_file()


def test_the_verb_can_leave_the_html_page_away(results: Results) -> None:
    results.add("a")
    assert "html" not in run(str(results.directory), "--no-html")
    assert not (results.directory / "leaderboard.html").exists()


def test_a_page_that_cannot_be_written_is_one_line(results: Results) -> None:
    results.add("a")
    blocked = results.directory / "blocked"
    blocked.write_text("a file, not a folder")
    with pytest.raises(StoreError, match="cannot write"):
        write_html(results.directory, blocked / "out.html")
    with pytest.raises(UsageError, match="is a folder, expected a file"):
        write_html(results.directory, results.directory)


def test_the_same_records_make_the_same_page(results: Results) -> None:
    for place in range(3):
        results.add(f"e{place}", psnr=20.0 + place)
    assert page(results) == page(results)


def test_only_failures_still_make_a_page(results: Results) -> None:
    results.add("a", status="timeout", psnr=None, points=0, curves=False, pictures=False)
    found = data_of(page(results))
    assert found["tasks"][0]["rows"][0]["status"] == {"timeout": 1}
