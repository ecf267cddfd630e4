"""A results folder for each test, whose pictures are drawn by one process."""

from pathlib import Path

import pytest

from encbench.runs import forked
from tests.leaderboard.results import Results


@pytest.fixture(autouse=True)
def one_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """Draw here, as on one core: to fork pytest twice takes as long as half a picture, and all
    cores run tests already. Tests of several processes set their number."""
    monkeypatch.setattr(forked, "cores", lambda: 1)


@pytest.fixture
def results(tmp_path: Path) -> Results:
    """An empty results folder."""
    (tmp_path / "run").mkdir()
    return Results(tmp_path / "run")
