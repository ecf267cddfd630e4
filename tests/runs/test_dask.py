"""Cells on a local Dask cluster whose workers, scheduler or coordinator may be lost."""

from __future__ import annotations

import os
import signal
import time

import numpy as np
import psutil
import pytest
from PIL import Image

from encbench import Store, Suite, plan
from encbench.runs.interface import RunOptions, unfinished
from tests.processes import outliving
from tests.runs.conftest import GUARD

CELLS = int(os.environ.get("ENCBENCH_SOAK_CELLS", "16"))
"""Number of cells, a multiple of four; a long soak test uses 200."""


def content(run):
    """Values that must be equal to the last digit wherever a cell ran."""
    found = {}
    for folder in run.out.glob("records/??/*"):
        with np.load(folder / "arrays.npz") as arrays:
            numbers = {name: arrays[name].tobytes() for name in arrays.files}
        pictures = {file.name: file.read_bytes() for file in folder.glob("*.png")}
        found[folder.name] = (numbers, pictures)
    for record in run.records().values():
        spectra = [
            {k: v for k, v in spectrum.items() if k != "seconds"} for spectrum in record["spectra"]
        ]
        found[record["key"]] += (record["status"], record["metrics"], spectra)
    return found


def test_lost_workers_and_a_killed_coordinator_lose_no_cell(start, suite_file, cluster, tmp_path):
    encodings = [f"ffe:levels={n}" for n in (1, 2, 3, 4)]
    suite = suite_file(encodings, seeds=CELLS // 4, steps=30, points=12)
    serial = start(suite, "-o", str(tmp_path / "serial"), "-j", "1")
    assert serial.end() == 0, serial.said()

    cluster.worker("one", "--nthreads", "2")  # runs two cells side by side
    cluster.worker("two")
    arguments = (suite, "-o", str(tmp_path / "out"), "--scheduler", str(cluster.file))
    run = start(*arguments)
    run.until(lambda: run.count() >= CELLS // 6)
    cluster.kill("one")
    run.until(lambda: run.count() >= CELLS // 3)
    cluster.kill("two", signal.SIGTERM)
    cluster.worker("two")
    run.until(lambda: run.count() > CELLS // 3)
    os.killpg(run.process.pid, signal.SIGKILL)
    run.process.wait()
    before = run.count()
    assert before < CELLS
    cluster.worker("one")
    again = start(*arguments)
    assert again.end() == 0, again.said()

    assert f"{before} of {CELLS} cells have a record already" in again.said()
    assert len(again.records()) == CELLS
    assert content(again) == content(serial)
    records = again.records().values()
    assert {record["provenance"]["executor"] for record in records} == {"dask"}


def test_a_cell_whose_worker_is_lost_runs_on_another_and_says_so(
    start, suite_file, cluster, tmp_path
):
    cluster.worker("one")
    run = start(
        *(suite_file(["waits"], steps=40), "-o", str(tmp_path / "out")),
        *("--scheduler", str(cluster.file)),
        PYTHONPATH=cluster.faults,
        FAULTS=str(tmp_path),
    )
    run.until(lambda: "started" in run.said() and (tmp_path / "waits").exists())
    cluster.kill("one")
    (tmp_path / "go").touch()
    cluster.worker("two")
    assert run.end() == 0, run.said()
    (record,) = run.records().values()
    assert record["steps"] == 40
    assert record["provenance"]["worker"].startswith("two (")
    (lost,) = record["lost_workers"]
    assert lost.startswith("one (")
    assert lost.endswith("lost while it ran this cell")


def test_what_a_worker_lacks_is_named_with_the_worker(start, cluster, tmp_path):
    # the photograph goes after the coordinator and before the worker reads it
    photo = tmp_path / "photo.png"
    Image.new("RGB", (16, 16), "red").save(photo)
    with_plugin = cluster.environment.pop("PYTHONPATH")
    run = start(
        *("-e", "identity", "-e", "not_a_number", "--steps", "4", "--ntk-points", "0"),
        *("-t", "image:image=photo.png", "-t", "image:image=camera,side=16"),
        *("-o", str(tmp_path / "out"), "--scheduler", str(cluster.file)),
        PYTHONPATH=with_plugin,
    )
    run.until(lambda: "cells wait for them" in run.said())
    photo.unlink()
    cluster.worker("one")
    assert run.end() == 1, run.said()
    found = {
        (stored.record.cell.encoding.name, stored.record.cell.task.parameters["image"]): stored
        for stored in Store(run.out).records()
    }
    assert len(found) == 4
    assert found["identity", "camera"].record.status == "ok"
    for cell, words in {
        ("identity", "photo.png"): "photo.png",
        ("not_a_number", "camera"): "unknown encoding 'encbench-faults:not_a_number'",
    }.items():
        message = found[cell].record.error.message
        assert message.startswith("on worker one (")
        assert words in message


def test_a_worker_without_the_plugin_costs_no_cell(start, suite_file, cluster, tmp_path):
    cluster.worker("one")
    with_plugin = cluster.environment.pop("PYTHONPATH")
    cluster.worker("two")
    (tmp_path / "go").touch()
    run = start(
        *(suite_file(["waits", "identity"], seeds=3), "-o", str(tmp_path / "out")),
        *("--scheduler", str(cluster.file)),
        PYTHONPATH=with_plugin,
        FAULTS=str(tmp_path),
    )
    assert run.end() == 0, run.said()
    records = run.records()
    assert len(records) == 6
    for name, record in records.items():
        assert record["lost_workers"] == []
        if name.startswith("waits"):
            assert record["provenance"]["worker"].startswith("one (")


def test_a_worker_of_another_encbench_is_not_used_and_alone_is_refused(
    start, suite_file, cluster, tmp_path
):
    info = tmp_path / "other" / "encbench-9.9.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: encbench\nVersion: 9.9\n")
    cluster.environment["PYTHONPATH"] = f"{info.parent}{os.pathsep}{cluster.faults}"
    cluster.worker("other")
    until(lambda: "Registered to:" in cluster.said("other"))
    suite = suite_file(["waits", "identity", "ffe:levels=2"], seeds=2)
    arguments = (suite, "-o", str(tmp_path / "out"), "--scheduler", str(cluster.file))
    settings = {"PYTHONPATH": cluster.faults, "FAULTS": str(tmp_path)}
    run = start(*arguments, **settings)
    assert run.end() == 1
    assert "is not used: it has another encbench (encbench 9.9, here" in run.said()
    assert not run.out.exists()
    cluster.environment["PYTHONPATH"] = cluster.faults
    cluster.worker("good")
    until(lambda: "Registered to:" in cluster.said("good"))
    again = start(*arguments, **settings)
    again.until(lambda: "worker other" in again.said() and "has encbench 9.9" in again.said())
    (tmp_path / "go").touch()
    assert again.end() == 0, again.said()
    workers = {r["provenance"]["worker"].partition(" ")[0] for r in again.records().values()}
    assert (len(again.records()), workers) == (6, {"good"})


def until(condition):
    deadline = time.monotonic() + GUARD
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_misbehaving_cell_costs_no_worker(start, suite_file, shared_cluster, tmp_path):
    run = start(
        *(suite_file(["crashes", "dies_once", "identity"]), "--timeout", "600"),
        *("-o", str(tmp_path / "out"), "--scheduler", str(shared_cluster.file)),
        PYTHONPATH=shared_cluster.faults,
    )
    assert run.end() == 1, run.said()
    records = run.records()
    statuses = {name: record["status"] for name, record in records.items()}
    assert statuses == {"crashes": "failed", "dies_once": "ok", "identity": "ok"}
    assert records["identity"]["provenance"]["timeout_s"] == 600
    assert records["crashes"]["error"]["message"].startswith("on worker one (")
    assert len(records["dies_once"]["lost_workers"]) == 1
    assert shared_cluster.said("one").count("Registered to:") == 1


def test_ctrl_c_records_what_ran_on_the_cluster(start, suite_file, shared_cluster, tmp_path):
    suite = suite_file(["identity", "ffe:levels=2"], seeds=2, steps=2_000_000)
    run = start(suite, "-o", str(tmp_path / "out"), "--scheduler", str(shared_cluster.file))
    run.until(lambda: run.said().count("started") == 3)
    os.killpg(run.process.pid, signal.SIGINT)
    assert run.end() == 130
    assert "Traceback" not in run.said()
    records = run.records().values()
    assert [record["status"] for record in records] == ["interrupted"] * 3
    assert all(record["provenance"]["worker"].startswith("one (") for record in records)


def test_a_lost_scheduler_is_an_error_that_says_what_to_do(start, suite_file, cluster, tmp_path):
    cluster.worker("one", "--nthreads", "2")
    run = start(
        *(suite_file(["identity", "waits"]), "-o", str(tmp_path / "out")),
        *("--scheduler", str(cluster.file)),
        PYTHONPATH=cluster.faults,
        FAULTS=str(tmp_path),
    )
    run.until(lambda: run.count() == 1 and (tmp_path / "waits").exists())
    cluster.kill("scheduler")
    assert run.end() == 1
    assert "error: the Dask scheduler is gone" in run.said()
    assert "Traceback" not in run.said()


class Answered:
    """A future whose result is available at once."""

    def __init__(self, client, cell):
        self.client, self.cell = client, cell

    def add_done_callback(self, call):
        call(self)

    def result(self):
        options = RunOptions()
        return "attempt", "one", unfinished(self.cell, "failed", "Sample", "", options=options)

    def release(self):
        self.client.submitted -= 1

    def cancel(self):
        self.client.submitted -= 1


class Scheduler:
    """The part of a client that the executor uses, with a given number of worker threads."""

    status = "running"

    def __init__(self):
        self.threads, self.submitted, self.most = 2, 0, 0
        self.scheduler = self

    def sync(self, function, **settings):
        return function(**settings)

    def identity(self, n_workers):
        return {"workers": {"one": {"nthreads": self.threads}}}

    def subscribe_topic(self, *given): ...
    def unsubscribe_topic(self, *given): ...
    def cancel(self, futures): ...

    def submit(self, function, cell, *given, **settings):
        self.submitted += 1
        self.most = max(self.most, self.submitted)
        return Answered(self, cell)


def test_a_few_cells_a_thread_are_submitted_however_many_there_are(suite, registry, monkeypatch):
    pytest.importorskip("distributed", reason="Dask is an optional extra")
    from encbench.runs.executors import dask

    monkeypatch.setattr(dask, "RESULT_SECONDS", 0.0)  # it checks the workers every time
    many = Suite.model_validate(suite.model_dump() | {"seeds": list(range(300))})
    client = Scheduler()
    executor = dask.Dask(client, RunOptions(), {"one"})
    results = executor.run(plan(many, registry), lambda event: None)
    seen = {next(results).record.key for _ in range(100)}
    assert client.most == dask.FEWEST
    client.threads = 16
    seen |= {next(results).record.key for _ in range(100)}
    assert client.most == 16 * dask.WINDOW
    executor.drain()
    left = list(results)
    # submitted cells that did not begin are cancelled, the others are never submitted
    assert len(seen) == 200
    assert len(left) <= 16 * dask.WINDOW
    assert client.submitted == 0


def test_cells_of_a_killed_coordinator_end_on_the_workers(start, suite_file, cluster, tmp_path):
    cluster.worker("one")
    run = start(
        *(suite_file(["identity"], steps=1_000_000), "-o", str(tmp_path / "out")),
        *("--scheduler", str(cluster.file)),
    )
    run.until(lambda: "started" in run.said())
    worker = psutil.Process(cluster.processes["one"].pid)
    family = worker.children(recursive=True)
    starts = ("forkserver", "spawn_main")
    cells = [
        p
        for p in family
        if any(word in " ".join(p.cmdline()) for word in starts) and not p.children()
    ]
    os.killpg(run.process.pid, signal.SIGKILL)
    assert len(cells) == 1
    assert not outliving(cells)
    assert all(p.is_running() for p in [worker, *family] if p not in cells)
