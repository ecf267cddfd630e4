"""The verb writes both pages."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import typer
from encbench_leaderboard.render.html import write_html
from encbench_leaderboard.render.markdown import write_index
from encbench_leaderboard.report.blocks import Page
from encbench_leaderboard.report.build import describe, load_board
from encbench_leaderboard.verb import leaderboard
from typer.testing import CliRunner

from encbench.errors import StoreError, UsageError
from encbench.results.records import ErrorInfo
from tests.leaderboard.render.html.pages import HOSTILE
from tests.leaderboard.results import Results, provenance

EMPTY = Page("empty", [], [])


def run(*arguments: str) -> str:
    app = typer.Typer()
    app.command()(leaderboard)
    done = CliRunner().invoke(app, [*arguments, "--no-pictures"])
    assert done.exit_code == 0, done.output
    return done.output.replace("\n", " ")


def html(results: Results) -> str:
    page = describe(*load_board(results.directory))
    return write_html(page, results.directory / "leaderboard.html").read_text(encoding="utf-8")


def test_the_verb_writes_both_pages_and_says_so(results: Results, tmp_path: Path) -> None:
    results.add("a", psnr=34.5678)
    told = run(str(results.directory))
    assert "34.57" in told
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


def test_the_verdict_and_the_first_rows_are_printed(results: Results) -> None:
    for place in range(4):
        results.add(f"e{place}", psnr=20.0 + place, points=0, pictures=False, curves=False)
    told = run(str(results.directory), "--no-html", "--rows", "3")
    assert "Too few to tell: one seed is too few to test." in told
    assert " e1 " in told
    assert " e0 " not in told
    assert "1 more row: `--rows 4` prints all" in told
    assert " e0 " in run(str(results.directory), "--no-html")


def test_a_page_that_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    blocked = tmp_path / "blocked"
    blocked.write_text("a file, not a folder")
    with pytest.raises(StoreError, match="cannot write"):
        write_html(EMPTY, blocked / "out.html")
    with pytest.raises(UsageError, match="is a folder, expected a file"):
        write_html(EMPTY, tmp_path)


def test_the_same_records_make_the_same_html(results: Results) -> None:
    for place in range(3):
        results.add(f"e{place}", psnr=20.0 + place)
    assert html(results) == html(results)


def test_only_failures_still_make_a_page(results: Results) -> None:
    results.add("a", status="timeout", psnr=None, points=0, curves=False, pictures=False)
    assert '"statuses":["timeout"]' in html(results)


def test_a_traceback_stays_out_of_the_page(results: Results) -> None:
    traceback = "Traceback (most recent call last): qzx-7"
    error = ErrorInfo(type="ValueError", message="no\n room", traceback=traceback)
    results.add("bad", status="failed", error=error, psnr=None)
    text = html(results)
    assert "in training: ValueError: no room" in text
    assert text.count("qzx-7") == 0  # of two megabytes, "not in" would be told in minutes


def test_foreign_text_of_records_is_text_everywhere(results: Results) -> None:
    results.add(f"a{HOSTILE}", task=f"image:{HOSTILE}")
    results.add(f"a{HOSTILE}", task=f"image:other{HOSTILE}", provenance=provenance(os=HOSTILE))
    error = ErrorInfo(type="ValueError", message=HOSTILE)
    results.add("c", task=f"image:{HOSTILE}", status="failed", error=error, psnr=None)
    results.store.write_suite({"name": HOSTILE})
    text = html(results)
    assert text.count("<script") == text.count("</script>")
    assert "<img src" not in text
    assert "<!--" not in text
    assert "hacked" in text


def test_several_folders_become_one_page_with_a_link_to_the_page_of_each(
    results: Results, tmp_path: Path
) -> None:
    results.add("a", pictures=False)
    other = Results(tmp_path / "other")
    other.add("b", pictures=False)
    out = tmp_path / "site" / "README.md"
    folders = [str(results.directory), str(other.directory)]
    told = run(*folders, "-o", str(out), "--no-html")
    assert f"wrote {out}" in told
    text = out.read_text(encoding="utf-8")
    for folder, encoding in zip(folders, ("a", "b"), strict=True):
        name = Path(folder).name
        assert f"](README/{name}.md)" in text
        assert (tmp_path / "site" / "README" / f"{name}.md").is_file()
        assert f"| `{encoding}`" in text
    with pytest.raises(UsageError, match="give one with -o"):
        leaderboard([Path(folder) for folder in folders])
    with pytest.raises(UsageError, match="the same name"):
        leaderboard([results.directory, results.directory], out)


def test_a_page_of_several_folders_opens_with_what_each_asks(
    results: Results, tmp_path: Path
) -> None:
    results.add("a", points=0, curves=False, pictures=False)
    page = replace(describe(*load_board(results.directory)), about="Which fits *best*?")
    text = write_index({tmp_path / "all" / "fit.md": page}, tmp_path / "all.md").read_text()
    assert text.startswith("# Leaderboard\n\n- **Leaderboard**: Which fits \\*best\\*?\n\n## ")
