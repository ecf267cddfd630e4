"""Addresses that are not those of a Dask scheduler are refused."""

from __future__ import annotations

import gc
import re
import socket

import pytest

from encbench.errors import ClusterError

pytest.importorskip("distributed", reason="Dask is an optional extra")

from distributed import LocalCluster

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
