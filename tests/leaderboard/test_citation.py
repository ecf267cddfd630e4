"""The page cites encodings as ``encbench cite`` does, without importing them."""

from __future__ import annotations

import subprocess
import sys

import pytest
from encbench_leaderboard.report.details import citation

from encbench.cli.cite import bibtex_of
from encbench.plugins.registry import default_registry
from tests.leaderboard.results import Results

BUILT_IN = [offer.name for offer in default_registry().offers("encoding")]


@pytest.mark.parametrize("name", BUILT_IN)
def test_an_encoding_is_cited_as_its_class_says(name: str) -> None:
    assert citation(name) == bibtex_of(default_registry().find("encoding", name))


def test_a_page_is_written_without_importing_torch(results: Results) -> None:
    for name in BUILT_IN:
        results.add(name, pictures=False, curves=False, points=0)
    code = (
        "import sys; from pathlib import Path; "
        "from encbench_leaderboard.render.html import html_page; "
        "from encbench_leaderboard.report.build import describe, load_board; "
        f"text = html_page(describe(*load_board(Path({str(results.directory)!r})))); "
        "assert '@' in text; print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False"]


def test_what_is_not_installed_has_no_citation() -> None:
    assert citation("nowhere:nothing") == ""
