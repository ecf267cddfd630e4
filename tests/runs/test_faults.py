"""A plug-in that misbehaves costs only its own cell, and the record says why."""

from __future__ import annotations

import json
import os
import signal

import psutil

from tests.processes import outliving


def test_a_process_that_dies_costs_one_cell(start, suite_file, faults, tmp_path):
    names = ["identity", "exits", "crashes", "not_a_number", "dies_once", "ffe:levels=2"]
    run = start(
        *(suite_file(names), "-o", str(tmp_path / "out"), "-j", "2"),
        PYTHONPATH=faults,
        FAULTS=str(tmp_path),
    )
    assert run.end() == 1, run.said()
    records = run.records()
    statuses = {name: record["status"] for name, record in records.items()}
    assert statuses == {
        "identity": "ok",
        "ffe:levels=2": "ok",
        "exits": "failed",
        "crashes": "failed",
        "not_a_number": "failed",
        "dies_once": "ok",
    }
    assert "died (exit code 0), 2 times in a row" in records["exits"]["error"]["message"]
    assert "died (killed by SIGSEGV)" in records["crashes"]["error"]["message"]
    assert records["crashes"]["phase"] == "setup"
    assert records["crashes"]["peak_memory_bytes"] > 50 << 20
    assert "NaN" in records["not_a_number"]["error"]["message"]
    assert len(records["exits"]["lost_workers"]) == 1
    (lost,) = records["dies_once"]["lost_workers"]
    assert "killed by SIGKILL" in lost
    assert records["identity"]["lost_workers"] == []
    assert "Traceback" not in run.said()


def test_isolated_cells_have_a_process_each(start, suite_file, faults, tmp_path):
    suite = suite_file(["identity", "crashes", "ffe:levels=2"])
    run = start(
        *(suite, "-o", str(tmp_path / "out"), "-j", "1", "--isolate", "--retries", "0"),
        PYTHONPATH=faults,
    )
    assert run.end() == 1, run.said()
    records = run.records()
    assert records["crashes"]["status"] == "failed"
    assert records["crashes"]["lost_workers"] == []
    workers = {records[name]["provenance"]["worker"] for name in ("identity", "ffe:levels=2")}
    assert len(workers) == 2


def test_a_cell_past_its_time_stops_or_is_killed(start, suite_file, faults, tmp_path):
    run = start(
        *(suite_file(["hangs", "hangs_in_c", "refuses", "identity"]), "-j", "3"),
        *("-o", str(tmp_path / "out"), "--timeout", "30s"),
        PYTHONPATH=faults,
        FAULTS=str(tmp_path),
    )
    child = child_of_the_plugin(run, tmp_path)
    assert run.end() == 1, run.said()
    assert not outliving([child])
    records = run.records()
    assert records["identity"]["status"] == "ok"
    assert records["identity"]["provenance"]["timeout_s"] == 30
    for name in ("hangs", "hangs_in_c", "refuses"):
        assert records[name]["status"] == "timeout", records[name]["error"]
        assert records[name]["phase"] == "setup"
    # it was stopped from inside: the traceback shows where it hung
    assert records["hangs"]["error"]["message"] == "ran past its limit of 30 s"
    assert "time.sleep(3600)" in records["hangs"]["error"]["traceback"]
    for name in ("hangs_in_c", "refuses"):
        assert "its process was killed" in records[name]["error"]["message"]


def test_a_killed_run_leaves_nothing_that_a_plugin_started(start, suite_file, faults, tmp_path):
    run = start(
        *(suite_file(["refuses"]), "-o", str(tmp_path / "out"), "-j", "1", "--isolate"),
        PYTHONPATH=faults,
        FAULTS=str(tmp_path),
    )
    child = child_of_the_plugin(run, tmp_path)
    os.kill(run.process.pid, signal.SIGKILL)
    assert not outliving([child])


def child_of_the_plugin(run, folder):
    run.until((folder / "child").exists)
    return psutil.Process(int((folder / "child").read_text()))


def test_a_cell_that_holds_too_much_memory_stops_or_is_killed(start, suite_file, faults, tmp_path):
    run = start(
        *(suite_file(["eats", "devours", "identity"]), "-o", str(tmp_path / "out")),
        # the memory of a forked process includes what the server has imported
        *("-j", "1", "--memory", "1.5GB"),
        PYTHONPATH=faults,
    )
    assert run.end() == 1, run.said()
    records = run.records()
    statuses = {name: record["status"] for name, record in records.items()}
    expected = {"eats": "out_of_memory", "devours": "out_of_memory", "identity": "ok"}
    assert statuses == expected, run.said()
    assert "more than its limit of 1431 MiB" in records["eats"]["error"]["message"]
    assert "in misbehave" in records["eats"]["error"]["traceback"]
    assert "its process was killed" in records["devours"]["error"]["message"]
    assert records["devours"]["peak_memory_bytes"] > 1431 << 20
    assert records["identity"]["provenance"]["memory_limit_bytes"] == 1_500_000_000


def test_on_failure_stop_begins_no_other_cell(start, suite_file, faults, tmp_path):
    suite = suite_file(["not_a_number", "identity", "ffe:levels=2"])
    out = str(tmp_path / "out")
    run = start(suite, "-o", out, "-j", "1", "--on-failure", "stop", PYTHONPATH=faults)
    assert run.end() == 1
    assert set(run.records()) == {"not_a_number"}
    assert "2 not run: stopped at the first that was not ok" in run.said()
    again = start(suite, "-o", out, "-j", "1", "--rerun", "never", PYTHONPATH=faults)
    assert again.end() == 1
    assert set(again.records()) == {"not_a_number", "identity", "ffe:levels=2"}


def test_a_small_cell_after_a_large_one_has_the_peak_memory_of_a_new_process(
    start, suite_file, tmp_path
):
    """After a cell of width 1400, 18 MiB stay in use, 6 % of the small cell's peak; new processes
    differ by 0.1 %. With -j 1, the process is the run's own, which uses even more memory."""
    suite = suite_file(["identity"])
    quick = ("--depth", "4", "--steps", "2", "--lr", "1e-4", "--set", "ntk.points=0")

    def peaks(name, *arguments):
        run = start(suite, "-o", str(tmp_path / name), *quick, *arguments)
        assert run.end() == 0, run.said()
        files = run.out.glob("records/??/*/record.json")
        records = [json.loads(file.read_text()) for file in files]
        return {r["network"]["width"]: r["peak_memory_bytes"] for r in records}, run.said()

    alone, _ = peaks("alone", "--width", "8")
    both = ("-j", "1", "--memory", "16GB", "--sweep", "network.width=1400,8")
    after, _ = peaks("after", *both)
    assert after[1400] > 1.3 * alone[8]
    assert after[8] < 1.03 * alone[8]
    together, said = peaks("together", "-j", "1", "--sweep", "network.width=9,8")
    assert together == {9: None, 8: None}
    assert "their records have no peak memory" in said


def test_what_an_encoding_keeps_does_not_count_for_the_next(start, suite_file, faults, tmp_path):
    """It keeps 256 MiB until its process ends, so the process still uses its peak memory."""
    suite = suite_file(["keeps", "identity"])
    out = str(tmp_path / "out")
    run = start(suite, "-o", out, "-j", "1", "--memory", "16GB", PYTHONPATH=faults)
    assert run.end() == 0, run.said()
    peak = {name: record["peak_memory_bytes"] for name, record in run.records().items()}
    assert peak["keeps"] - peak["identity"] > 200 << 20
