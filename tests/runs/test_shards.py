"""A job array runs a suite in shares, into one or several folders, with the results of one run."""

from __future__ import annotations

import io
import logging
import os
from itertools import groupby

import pytest
from rich.console import Console

from encbench import Store, StoreError, Suite, UsageError, run_suite
from encbench.cli.progress import RunProgress
from encbench.results import store as store_module
from encbench.results.merging import merge
from encbench.runs.shares import share_of, shuffled
from encbench.suite.file import SuiteEntry
from encbench.suite.plan import keyed_plan
from tests.runs.test_dask import content
from tests.runs.test_reuse import Ends

OPTIONS = {"jobs": 1, "device": "cpu", "report": False}


@pytest.fixture
def suite(quick_suite):
    return quick_suite


@pytest.fixture
def seven(suite) -> Suite:
    return Suite.model_validate(suite.model_dump() | {"seeds": list(range(7))})


def test_shares_are_disjoint_and_together_everything(seven, registry):
    cells = keyed_plan(seven, registry)
    for count in (1, 2, 3, 7, 9):
        shares = [share_of(cells, (number, count)) for number in range(1, count + 1)]
        assert sorted(c.seed for share in shares for c in share.values()) == list(range(7))
        assert {len(share) for share in shares} <= {7 // count, 7 // count + 1}


@pytest.mark.parametrize("shard", [(65, 64), (0, 64), (-1, 2), (1, 0)])
def test_a_share_that_does_not_exist_is_refused(seven, registry, tmp_path, shard):
    with pytest.raises(UsageError, match=f"shard {shard[0]}/{shard[1]}: expected I/N"):
        run_suite(seven, tmp_path / "out", registry=registry, shard=shard, **OPTIONS)
    assert not (tmp_path / "out").exists()


def test_an_empty_share_says_so(seven, registry, tmp_path, caplog, capsys):
    with caplog.at_level(logging.WARNING, "encbench"):
        done = run_suite(seven, tmp_path, registry=registry, shard=(8, 9), **OPTIONS)
    assert "share 8/9 holds none of the 7 cells" in caplog.text
    RunProgress(Console(stderr=True)).summary(done, 2)
    assert "0 cells; 2 s" in capsys.readouterr().err


def numbers(folder):
    return {
        s.record.key: (s.record.metrics, {n: a.tobytes() for n, a in s.arrays.items()})
        for s in Store(folder).records()
    }


def test_shares_in_folders_of_their_own_merge_to_one_run(seven, registry, tmp_path):
    run_suite(seven, tmp_path / "one", registry=registry, **OPTIONS)
    folders = [tmp_path / str(number) for number in (1, 2, 3)]
    for number, folder in enumerate(folders, start=1):
        done = run_suite(seven, folder, registry=registry, shard=(number, 3), **OPTIONS)
        assert len(done.records) in (2, 3)
    assert merge(folders, tmp_path / "all").one_suite
    assert numbers(tmp_path / "all") == numbers(tmp_path / "one")
    assert Store(tmp_path / "all").suites() == Store(tmp_path / "one").suites()
    assert run_suite(seven, tmp_path / "all", registry=registry, **OPTIONS).reused == 7


def test_shares_run_into_one_folder_at_the_same_time(start, suite_file, tmp_path):
    suite = suite_file(["identity", "ffe:levels=2"], seeds=3, points=12)
    serial = start(suite, "-o", str(tmp_path / "serial"), "-j", "1")
    assert serial.end() == 0, serial.said()
    arguments = (suite, "-o", str(tmp_path / "out"), "-j", "1")
    shares = [start(*arguments, "--shard", f"{number}/3") for number in (1, 2, 3)]
    for share in shares:
        assert share.end() == 0, share.said()
    assert content(shares[0]) == content(serial)
    assert not list((tmp_path / "out" / "records").glob(".*"))


@pytest.mark.parametrize(
    ("status", "rerun", "runs"),
    [
        ("ok", "failed", 1),
        ("diverged", "failed", 1),
        ("diverged", "all", 1),
        ("failed", "never", 1),
        ("failed", "failed", 3),
    ],
)
def test_a_cell_that_the_same_share_has_run_meanwhile_is_not_run_again(
    quick_suite, registry, tmp_path, status, rerun, runs
):
    suite = Suite.model_validate(quick_suite.model_dump() | {"seeds": [0, 1, 2]})

    def share(watcher=None):
        ends = Ends(registry, status)
        options = {"rerun": rerun, "executor": ends, "report": False, "watcher": watcher}
        done = run_suite(suite, tmp_path, registry=registry, shard=(1, 1), **options)
        return ends.count, done

    class Requeued(RunProgress):
        """Runs the whole share when the first cell of the same share is done."""

        def recorded(self, record):
            super().recorded(record)
            if len(Store(tmp_path).keys()) == 1:
                share()

    heard = io.StringIO()
    watcher = Requeued(Console(file=heard, width=200))
    count, done = share(watcher)
    watcher.summary(done, 1)
    assert watcher.finished == 3
    assert heard.getvalue().count(f"made by another process: {status}") == done.made_meanwhile
    assert (f"; {3 - runs} made by another process" in heard.getvalue()) == (runs < 3)
    assert (count, done.reused, done.made_meanwhile) == (runs, 3 - runs, 3 - runs)
    assert len(done.records) == 3
    assert {stored.outline.status for stored in done.records} == {status}


def test_a_share_runs_the_cells_of_a_task_one_after_another(seven, registry):
    tasks = [SuiteEntry(name="wave", parameters={"points": points}) for points in range(8, 12)]
    planned = list(keyed_plan(seven.model_copy(update={"tasks": tasks}), registry).items())
    mixed = shuffled(planned)
    assert mixed != planned
    assert sorted(mixed, key=planned.index) == planned
    assert len(list(groupby(cell.task for _, cell in mixed))) == 4


def test_a_share_waits_for_its_turn_and_says_so_if_it_does_not_come(tmp_path, monkeypatch):
    monkeypatch.setattr(store_module, "SHARED_WAIT", 0.1)
    with (
        Store(tmp_path).writing(),
        pytest.raises(StoreError, match="in use by another"),
        Store(tmp_path).writing(shared=True),
    ):
        pass
    with Store(tmp_path).writing(shared=True), Store(tmp_path).writing(shared=True):
        pass


def test_no_cell_is_lost_when_the_coordinator_is_killed_at_any_moment(start, suite_file, tmp_path):
    suite = suite_file([f"ffe:levels={n}" for n in (1, 2, 3)], seeds=4, steps=200, points=12)
    arguments = (suite, "-o", str(tmp_path / "out"), "-j", "2")
    kept: dict[str, bytes] = {}
    for count in (2, 5, 9):
        run = start(*arguments)
        run.until(lambda run=run, count=count: run.count() >= count)
        os.killpg(run.process.pid, 9)
        run.process.wait()
        files = {str(f): f.read_bytes() for f in run.out.glob("records/??/*/*")}
        # finished records are still there, unchanged
        assert kept.items() <= files.items()
        kept = files
    run = start(*arguments)
    assert run.end() == 0, run.said()
    assert len(run.records()) == 12
    assert kept.items() <= {str(f): f.read_bytes() for f in run.out.glob("records/??/*/*")}.items()
