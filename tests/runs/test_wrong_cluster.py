"""Clusters that cannot be used are refused, in one line."""

from __future__ import annotations

import gc
import re
import socket

import pytest

from encbench.cli.app import build
from encbench.errors import ClusterError, EncbenchError, UsageError
from encbench.plugins.registry import default_registry

pytest.importorskip("distributed", reason="Dask is an optional extra")

from dask.config import set as dask_settings
from distributed import Client, LocalCluster

from encbench.runs.executors import dask


@pytest.fixture(scope="module")
def scheduler():
    with LocalCluster(
        n_workers=1,
        threads_per_worker=1,
        processes=False,
        protocol="tcp",
        host="127.0.0.1",
        dashboard_address="127.0.0.1:0",
    ) as cluster:
        yield cluster.scheduler


def refused(where, words):
    pattern = f"at {re.escape(where)}: .*{re.escape(words)}"
    with pytest.raises(ClusterError, match=pattern), dask.connect(where):
        pass
    # a partly constructed client would raise here
    gc.collect()


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("nowhere", "missing port number"),
        ("", "missing port number"),
        ("http://127.0.0.1:1", "unknown address scheme 'http'"),
        ("tls://127.0.0.1:1", "TLS"),
        ("tcp://127.0.0.1:1", "Timed out"),
    ],
)
def test_an_invalid_address_is_one_error(monkeypatch, where, words):
    monkeypatch.setattr(dask, "CONNECT_SECONDS", 0.5)
    refused(where, words)


@pytest.mark.parametrize("text", ["", "{bad", "[]", "{}", '{"address": 5}'])
def test_an_invalid_scheduler_file_is_one_error(tmp_path, text):
    file = tmp_path / "scheduler.json"
    file.write_text(text)
    refused(str(file), "that is a file, but not one of `dask scheduler --scheduler-file`")


def test_a_worker_is_no_scheduler(scheduler):
    (worker,) = scheduler.workers
    refused(worker, "that is a Dask worker")


def test_a_server_that_does_not_speak_dask_does_not_hang_the_run(monkeypatch):
    monkeypatch.setattr(dask, "ANSWER_SECONDS", 1.0)
    with socket.create_server(("127.0.0.1", 0)) as server:
        refused(
            f"tcp://127.0.0.1:{server.getsockname()[1]}", "does not answer like a Dask scheduler"
        )


def test_an_address_with_and_without_its_protocol_and_a_file_reach_one(scheduler, tmp_path):
    file = tmp_path / "scheduler.json"
    file.write_text(f'{{"address": "{scheduler.address}"}}')
    for where in (scheduler.address, scheduler.address.removeprefix("tcp://"), str(file)):
        with dask.connect(where, device="cpu") as executor:
            assert executor.options.device == "cpu"


def test_the_workers_are_known_while_the_client_asks_for_other_things(scheduler):
    with (
        dask_settings({"distributed.client.scheduler-info-interval": "1ms"}),
        Client(scheduler.address, set_as_default=False) as client,
    ):
        assert {len(dask.workers_of(client)) for _ in range(300)} == {1}


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ({"cluster": "abacus"}, "unknown cluster 'abacus'; expected htcondor, local, lsf"),
        ({"device": "cuda:1"}, "expected auto, cpu, cuda"),
        ({"workers": 0}, "workers must be at least 1, got 0"),
        ({"threads": 0}, "threads must be"),
        ({"threads": 5000}, "threads must be"),
        ({"retries": -1}, "retries must be"),
    ],
    ids=repr,
)
def test_a_wrong_setting_is_one_line_before_anything_is_started(setting, words):
    with pytest.raises(EncbenchError) as raised, dask.connect("tcp://127.0.0.1:1", **setting):
        pass
    assert words in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--workers", "2"], "give --cluster, too"),
        (["--scheduler", "tcp://a:1", "--cluster", "slurm"], "not both"),
        (["--scheduler", "tcp://a:1", "-j", "2"], "dask worker --nthreads"),
        (["--scheduler", "nowhere"], "cannot reach a Dask scheduler at nowhere: missing port"),
    ],
)
def test_wrong_flags_are_one_line(tmp_path, arguments, words):
    words_given = ["run", "quick", "-o", str(tmp_path / "out"), *arguments]
    with pytest.raises((UsageError, ClusterError), match=words):
        build(default_registry(), words_given)(args=words_given, standalone_mode=False)
    assert not (tmp_path / "out").exists()


def test_a_batch_system_without_settings_is_one_line(start, suite_file, tmp_path):
    # in a process of its own, since dask's unfinished cluster raises when it is collected
    run = start(suite_file(["identity"]), "-o", str(tmp_path / "out"), "--cluster", "pbs")
    assert run.end() == 1
    assert "Traceback" not in run.said()
    errors = [line for line in run.said().splitlines() if line]
    assert "per job you want to use; set a job's properties in dask's" in errors[-1]
    assert not run.out.exists()
