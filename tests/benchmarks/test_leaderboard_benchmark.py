"""What a leaderboard costs: all of ``encbench leaderboard`` on many records, pictures included.

Run with ``pytest tests/benchmarks/test_leaderboard_benchmark.py --benchmark-enable``, with
OMP_NUM_THREADS=1: 10,000 records, 25 encodings × 40 images × 10 seeds, and as many of 2,000
encodings on one image. Without ``--benchmark-enable`` each case runs once on a dozen.
"""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest
from encbench_leaderboard.board.table import boards
from encbench_leaderboard.render.markdown import write_markdown
from encbench_leaderboard.report.build import describe, load_board
from pytest_benchmark.fixture import BenchmarkFixture

from encbench.results.store import Store
from tests.benchmarks.synthetic import POINTS, synthetic_cells, write_records
from tests.processes import call

FULL = {"category": (25, 40, 10), "one task": (2000, 1, 5)}
"""Encodings, images and seeds of a case: 10,000 records each."""
SMALL = {"category": (3, 2, 2), "one task": (6, 1, 2)}


@pytest.fixture(scope="module", params=list(FULL))
def folder(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, int]:
    """A results folder, and how many records it holds."""
    small = not request.config.getoption("benchmark_enable")
    directory = tmp_path_factory.mktemp("many")
    return directory, write_records(
        directory, synthetic_cells(*(SMALL if small else FULL)[request.param])
    )


def measured(benchmark: BenchmarkFixture, records: int) -> None:
    benchmark.group = f"{records:,} records"
    benchmark.extra_info.update(records=records, points=POINTS)


def test_reading(benchmark: BenchmarkFixture, folder: tuple[Path, int]) -> None:
    directory, records = folder
    measured(benchmark, records)
    found = benchmark.pedantic(lambda: Store(directory).records(), rounds=1)
    assert len(found) == records


def test_tables(benchmark: BenchmarkFixture, folder: tuple[Path, int]) -> None:
    directory, records = folder
    measured(benchmark, records)
    found = Store(directory).records()
    board = benchmark.pedantic(lambda: boards(found), rounds=1)
    assert sum(len(task.records) for task in board.tasks) == records


@pytest.mark.parametrize("pictures", [True, False], ids=["pictures", "tables"])
def test_the_page(benchmark: BenchmarkFixture, folder: tuple[Path, int], pictures: bool) -> None:
    directory, records = folder
    measured(benchmark, records)
    options = {"pictures": pictures, "small_pictures": not benchmark.enabled}
    page = benchmark.pedantic(
        lambda: write_markdown(
            describe(*load_board(directory)), directory / "leaderboard.md", **options
        ),
        rounds=1,
    )
    assert f"{records:,} cells" in page.read_text(encoding="utf-8")


def test_the_whole_verb(benchmark: BenchmarkFixture, folder: tuple[Path, int]) -> None:
    """From the start of the process to its end: page, pictures, HTML file and printed tables."""
    directory, records = folder
    measured(benchmark, records)
    command = ["leaderboard", directory, *([] if benchmark.enabled else ["--no-pictures"])]
    done = benchmark.pedantic(
        lambda: call("encbench", *command, afresh=benchmark.enabled), rounds=1
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("wrote ") == 2
    assert f"{records:,} cells" in (directory / "leaderboard.md").read_text(encoding="utf-8")


PUBLISHED = Path(__file__).parents[2] / "leaderboard" / "records" / "fit.tar.gz"


@pytest.mark.parametrize("times", [0, 1], ids=["first", "again"])
def test_the_published_page(benchmark: BenchmarkFixture, times: int, tmp_path: Path) -> None:
    """The page of the repository's own records, drawn for the first time and once more."""
    if times and not benchmark.enabled:
        pytest.skip("without pictures, which only a benchmark draws, once more is the same again")
    with tarfile.open(PUBLISHED) as archive:
        archive.extraction_filter = getattr(tarfile, "data_filter", None)  # from Python 3.11.4 on
        archive.extractall(tmp_path)
    page = tmp_path / "page" / "README.md"
    command = ["leaderboard", tmp_path / "fit", "--no-html", "-o", page]
    if not benchmark.enabled:
        command.append("--no-pictures")

    def draw() -> None:
        done = call("encbench", *command, afresh=benchmark.enabled)
        assert done.returncode == 0, done.stderr

    for _ in range(times):
        draw()
    benchmark.pedantic(draw, rounds=1)
    assert page.exists()
