"""What a page leaves out if there are very many tasks or rows, and that it says so."""

from __future__ import annotations

from encbench_leaderboard.render.html import document
from encbench_leaderboard.render.markdown import ABOUT, write_markdown
from encbench_leaderboard.report import build
from encbench_leaderboard.report.blocks import Section

from tests.leaderboard.results import Results


def test_the_first_tasks_have_sections_and_means_are_over_all(tmp_path, monkeypatch):
    monkeypatch.setattr(build, "SECTIONS", 3)
    results = Results(tmp_path)
    for number in range(6):
        for encoding in ("identity", "ffe"):
            task = f"image:image=chelsea,side={number}"
            results.add(encoding, task=task, points=0, pictures=False, curves=False)
    page = build.describe(*build.load_board(tmp_path))
    sections = [block for block in page.blocks if isinstance(block, Section)]
    assert len(sections) == 3
    text = write_markdown(page, tmp_path / "page.md", pictures=False).read_text()
    text += (tmp_path / "page" / ABOUT).read_text()
    assert "2 encodings, 6 tasks, 1 seed: 12 cells" in text
    assert "The first 3 of 6 tasks have sections of their own" in text
    assert "The first 3 tasks" in text  # of the correlations


def test_the_first_rows_of_an_html_page_open(tmp_path, monkeypatch):
    monkeypatch.setattr(document, "OPENED", 2)
    results = Results(tmp_path)
    for number in range(5):
        results.add(f"ffe:levels={number}", points=0, pictures=False, curves=False)
    page = build.describe(*build.load_board(tmp_path))
    text = document.html_page(page, pictures=False)
    assert "The last 3 rows do not open: only 2 rows of this page do." in text
    monkeypatch.setattr(document, "OPENED", 5)
    assert "do not open" not in document.html_page(page, pictures=False)
