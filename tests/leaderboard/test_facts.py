"""Facts of many records are extracted by several processes, with the same result as in one."""

from __future__ import annotations

import os
import shutil
import signal
import sys
from multiprocessing import parent_process
from pathlib import Path

import pytest
from encbench_leaderboard.board import facts as module
from encbench_leaderboard.board.facts import EQUAL, PARTS, SECTIONS, Facts, gathered
from encbench_leaderboard.render.markdown import write_markdown
from encbench_leaderboard.report.build import describe, load_board

from encbench.errors import StoreError
from encbench.results.records import ErrorInfo
from encbench.results.store import Store, load_records
from encbench.runs import forked
from tests.benchmarks.synthetic import settle, synthetic_cells, write_records
from tests.leaderboard.results import Results, diverged

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """27 records; one diverged, one failed early, one is alone on its task."""
    directory = tmp_path_factory.mktemp("made") / "run"
    write_records(directory, synthetic_cells(3, 4, 2))
    results = Results(directory)
    results.add("ffe:levels=9", task="alone")
    results.add("a", status="diverged", error=diverged(7), psnr=None)
    error = ErrorInfo(type="ValueError", message="no\nroom")
    results.add("b", status="failed", psnr=None, points=0, curves=False, error=error)
    return directory


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """A folder of these records, with an index."""
    directory = Path(shutil.copytree(made, tmp_path / "run"))
    settle(directory)
    load_records(directory, check_files=True)
    return directory


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Sizes of the pieces that this process works on; with two cores, others work on the rest."""
    here, pieces = module._extract, []

    def extract(piece):
        pieces.append(len(piece))
        return here(piece)

    monkeypatch.setattr(module, "_extract", extract)
    monkeypatch.setattr(module, "MANY_RECORDS", 20)
    monkeypatch.setattr(module, "RECORDS_AT_ONCE", 5)
    cores(monkeypatch, 2)
    return pieces


def cores(monkeypatch: pytest.MonkeyPatch, number: int) -> None:
    monkeypatch.setattr(forked, "cores", lambda: number)


def listed(folder: Path) -> list[Facts]:
    return gathered(load_records(folder, listed=True))


def contents(found: list[Facts]) -> list[object]:
    """The contents of facts, as text."""
    return [
        (
            *(one.stored.outline, one.numbers.tobytes(), one.cell.model_dump_json()),
            *(repr(getattr(one, name)) for name in PARTS if name != "cell"),
        )
        for one in found
    ]


def objects(found: list[Facts]) -> dict[str, int]:
    """Number of distinct objects per part of the facts."""
    parts = {name: len({id(getattr(one, name)) for one in found}) for name in EQUAL}
    return parts | {f"cell.{n}": len({id(getattr(o.cell, n)) for o in found}) for n in SECTIONS}


def test_facts_are_the_same_and_equal_parts_one_object(folder, processes, monkeypatch):
    several = listed(folder)
    assert processes == []
    cores(monkeypatch, 1)
    one = listed(folder)
    assert processes == [5, 5, 5, 5, 5, 2]
    assert contents(several) == contents(one)
    assert [f.stored.path.name for f in several] == sorted(f.stored.path.name for f in several)
    assert objects(several) == objects(one)
    assert objects(one)["cell.task"] == objects(one)["task"] == 6
    assert objects(one)["cell.encoding"] == objects(one)["encoding"] == 6
    assert objects(one)["cell.network"] == objects(one)["source"] == 1


def test_facts_are_those_of_records_that_are_read_already(folder, processes):
    read = Store(folder).records()
    assert contents(gathered(read)) == contents(listed(folder))
    assert sum(processes) == len(read), "to read them there is nothing left to do"
    assert all(stored.is_read for stored in read)


def test_few_records_are_read_here(folder, processes, monkeypatch):
    monkeypatch.setattr(module, "MANY_RECORDS", 28)
    listed(folder)
    assert sum(processes) == 27


def test_a_page_is_that_of_one_process_whatever_is_damaged(folder, processes, monkeypatch, caplog):
    places = [stored.path for stored in Store(folder).listed()]
    (places[3] / "record.json").write_text("{")
    (places[8] / "manifest.json").unlink()
    page, seen = folder / "page.md", []
    for number in (1, 2):
        cores(monkeypatch, number)
        processes.clear()
        caplog.clear()
        write_markdown(describe(*load_board(folder)), page, pictures=False)
        assert bool(processes) == (number == 1)
        seen.append((page.read_text(encoding="utf-8"), caplog.messages))
    assert seen[0] == seen[1]
    text, warnings = seen[0]
    assert "25 cells" in text
    assert [warning.partition(":")[0] for warning in warnings] == [
        f"skipping the damaged record {place}" for place in (places[3], places[8])
    ]


@pytest.mark.parametrize("number", [1, 2])
def test_a_record_that_is_gone_when_it_is_read_is_one_line(number, folder, processes, monkeypatch):
    cores(monkeypatch, number)
    records = load_records(folder, listed=True)
    (folder / "index.sqlite").unlink()
    shutil.rmtree(records[12].path)
    with pytest.raises(StoreError) as raised:
        gathered(records)
    assert str(raised.value) == f"there is no record {records[12].path}"


def test_what_a_killed_process_left_is_extracted_here(folder, processes, monkeypatch):
    expected, here = contents(listed(folder)), module._extract

    def killed(piece):
        if parent_process() is not None:
            os.kill(os.getpid(), signal.SIGKILL)
        return here(piece)

    monkeypatch.setattr(module, "_extract", killed)
    assert contents(listed(folder)) == expected
    assert sum(processes) == 27
