"""Fixtures that start runs in separate processes, and a cluster for those that need one."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests import processes
from tests.processes import outside

GUARD = 900.0
"""Time limit of a wait [s]; no test depends on the speed of the machine."""
FAULTS = Path(__file__).parent.parent / "third_party" / "encbench-faults"

SUITE = """
name = "small"
encodings = {encodings}
tasks = ["image:image=astronaut,side=16"]
seeds = {seeds}
[network]
width = 8
[training]
batch_size = 32
steps = {steps}
evaluations = 2
lr_factor = 0.5  # at the default of 1.5 some weights diverge on so few pixels
[ntk]
points = {points}
"""


def environment(**more: str) -> dict[str, str]:
    """Environment with one thread per process, and without variables set by pytest."""
    return {**outside(), "OMP_NUM_THREADS": "1", "COLUMNS": "200", **more}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Set a time limit that only a hanging test reaches, for tests that start processes."""
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.timeout(2 * GUARD), append=False)


class Run:
    """``encbench run`` in a separate process group."""

    def __init__(self, folder: Path, *arguments: str, afresh: bool = False, **more: str) -> None:
        self.out = Path(arguments[arguments.index("-o") + 1])
        self._log = folder / f"{self.out.name}.log"
        with self._log.open("a") as log:
            self.process = processes.start(
                *("encbench", "run", "--no-report", *arguments),
                log=log,
                cwd=folder,
                env=environment(**more),
                start_new_session=True,
                afresh=afresh,
            )

    def said(self) -> str:
        return self._log.read_text()

    def end(self, seconds: float = GUARD) -> int:
        return self.process.wait(timeout=seconds)

    def records(self) -> dict[str, dict[str, Any]]:
        """The records on disk, by encoding and seed."""
        found = {}
        for file in self.out.glob("records/??/*/record.json"):
            record = json.loads(file.read_text())
            name = record["cell"]["encoding"]["label"]
            seed = record["cell"]["seed"]
            label = f"{name} {seed}" if seed else name
            assert label not in found, f"{label} twice"
            found[label] = record
        return found

    def until(self, condition: Callable[[], object], seconds: float = GUARD) -> None:
        """Wait for a condition while the run goes on."""
        deadline = time.monotonic() + seconds
        while not condition():
            assert self.process.poll() is None, self.said()
            assert time.monotonic() < deadline, self.said()
            time.sleep(0.02)

    def count(self) -> int:
        return len(list(self.out.glob("records/??/*/record.json")))


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[..., Run]]:
    """Starts runs in the test's folder, and ends them with the test."""
    runs = []

    def begin(*arguments: str, afresh: bool = False, **more: str) -> Run:
        runs.append(Run(tmp_path, *arguments, afresh=afresh, **more))
        return runs[-1]

    yield begin
    for run in runs:
        if run.process.poll() is None:
            os.killpg(run.process.pid, signal.SIGKILL)
            run.process.wait()


@pytest.fixture
def suite_file(tmp_path: Path) -> Callable[..., str]:
    def write(encodings: list[str], seeds: int = 1, steps: int = 8, points: int = 0) -> str:
        """A suite without spectra, which take half of the time, unless points are given."""
        path = tmp_path / "small.toml"
        text = SUITE.format(
            encodings=json.dumps(encodings), seeds=list(range(seeds)), steps=steps, points=points
        )
        path.write_text(text)
        return str(path)

    return write


@pytest.fixture(scope="session")
def faults(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A folder with the misbehaving plug-in installed by pip."""
    site = tmp_path_factory.mktemp("faults")
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index"),
            *("--no-build-isolation", "--disable-pip-version-check", "--target", str(site)),
            str(FAULTS),
        ],
        check=True,
    )
    return str(site)


class Cluster:
    """A Dask scheduler and workers on the loopback."""

    def __init__(self, folder: Path, *, afresh: bool = False, **more: str) -> None:
        self.folder = folder
        self._afresh = afresh
        self.file = folder / "scheduler.json"
        self.environment = environment(**more)
        self.faults = more.get("PYTHONPATH", "")
        self.processes: dict[str, processes.Process] = {}
        self._start("scheduler", "scheduler", "--port", "0", "--scheduler-file", str(self.file))
        deadline = time.monotonic() + GUARD
        while not self.file.exists():
            assert time.monotonic() < deadline, self.said("scheduler")
            time.sleep(0.05)

    def worker(self, name: str, *arguments: str) -> None:
        """Start a worker with one thread."""
        scratch = str(self.folder / "scratch")
        self._start(
            name,
            *("worker", "--scheduler-file", str(self.file), "--nthreads", "1", "--name", name),
            *("--local-directory", scratch, "--death-timeout", "300", *arguments),
        )

    def kill(self, name: str, number: int = signal.SIGKILL) -> None:
        """Send a signal to a process and all its children, and wait until it ends."""
        process = self.processes.pop(name)
        os.killpg(process.pid, number)
        process.wait(timeout=GUARD)

    def said(self, name: str) -> str:
        return (self.folder / f"{name}.log").read_text()

    def close(self) -> None:
        for name in list(self.processes):
            self.kill(name)

    def _start(self, name: str, *arguments: str) -> None:
        with (self.folder / f"{name}.log").open("a") as log:
            self.processes[name] = processes.start(
                *("dask", *arguments, "--host", "127.0.0.1", "--no-dashboard"),
                log=log,
                env=self.environment,
                cwd=self.folder,
                start_new_session=True,
                afresh=self._afresh,
            )


def started_in(folder: Path, faults: str) -> Iterator[Cluster]:
    pytest.importorskip("distributed", reason="Dask is an optional extra")
    (folder / "cluster").mkdir()
    started = Cluster(folder / "cluster", PYTHONPATH=faults, FAULTS=str(folder))
    yield started
    started.close()


@pytest.fixture
def cluster(tmp_path: Path, faults: str) -> Iterator[Cluster]:
    """A scheduler; the test starts its workers and may end them."""
    yield from started_in(tmp_path, faults)


@pytest.fixture(scope="module")
def shared_cluster(tmp_path_factory: pytest.TempPathFactory, faults: str) -> Iterator[Cluster]:
    """A scheduler and a worker "one" with three threads, for tests that end neither."""
    for started in started_in(tmp_path_factory.mktemp("shared"), faults):
        started.worker("one", "--nthreads", "3")
        yield started
