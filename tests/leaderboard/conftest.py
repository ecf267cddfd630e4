"""A results folder for each test."""

from pathlib import Path

import pytest

from tests.leaderboard.results import Results


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """An empty results folder."""
    (tmp_path / "run").mkdir()
    return Results(tmp_path / "run")
