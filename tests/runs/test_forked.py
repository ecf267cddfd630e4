"""Forked processes yield the same results as one process, even if some of them die."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from encbench.errors import StoreError
from encbench.runs import forked
from encbench.runs.forked import in_processes
from tests.processes import outliving

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="nothing is forked elsewhere")
HERE = os.getpid()


@pytest.fixture(autouse=True)
def two_cores(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forked, "cores", lambda: 2)


def test_results_are_in_the_order_of_the_items_and_come_from_other_processes():
    def square(lock_and_number):
        time.sleep(0.02 * (lock_and_number[1] % 3))
        return lock_and_number[1] ** 2, os.getpid()

    things = [(threading.Lock(), number) for number in range(9)]  # a lock cannot be pickled
    found = list(in_processes(square, things, 8))
    assert [value for value, _ in found] == [number**2 for number in range(9)]
    assert len({process for _, process in found} - {HERE}) == 2


@pytest.mark.parametrize("reason", ["one core", "one thing", "at most one"])
def test_this_process_computes_if_others_do_not_pay(reason, monkeypatch):
    if reason == "one core":
        monkeypatch.setattr(forked, "cores", lambda: 1)
    things = range(1 if reason == "one thing" else 3)
    most = 1 if reason == "at most one" else 8
    assert set(in_processes(lambda _: os.getpid(), things, most)) == {os.getpid()}


def test_a_process_that_may_not_start_others_computes_itself():
    near, far = multiprocessing.Pipe(duplex=False)
    context = multiprocessing.get_context("fork")
    process = context.Process(target=_send_processes, args=(far,), daemon=True)
    process.start()
    assert near.recv() == {process.pid}
    process.join()


def _send_processes(pipe):
    pipe.send(set(in_processes(lambda _: os.getpid(), range(3), 8)))


def test_this_process_computes_what_a_dead_process_left():
    def work(number):
        if number == 3 and os.getpid() != HERE:
            os.kill(os.getpid(), signal.SIGKILL)
        return number

    assert list(in_processes(work, range(8), 8)) == list(range(8))


def test_a_process_may_die_while_it_sends_a_large_result():
    results = in_processes(lambda number: (number, os.getpid(), bytes(10_000_000)), range(6), 8)
    numbers = [next(results)[:2]]
    time.sleep(0.3)  # it computes the next one, and waits until this process reads
    os.kill(numbers[0][1], signal.SIGKILL)
    numbers += [result[:2] for result in results]
    assert [number for number, _ in numbers] == list(range(6))
    assert HERE in {process for _, process in numbers}


LARGE = """
from encbench.runs import forked
forked.cores = lambda: 2
results = forked.in_processes(lambda _: bytes(10_000_000), range(60), 8)
next(results)
results.close()
print("closed")
"""


def test_a_process_ends_after_it_took_some_of_many_large_results():
    ended = subprocess.run(
        [sys.executable, "-c", LARGE], capture_output=True, text=True, timeout=60, check=False
    )
    assert (ended.stdout, ended.stderr, ended.returncode) == ("closed\n", "", 0)


def test_an_error_is_raised_in_place_of_the_first_missing_result():
    def work(number):
        if number > 1:
            raise StoreError(f"no {number}")
        return number

    results = in_processes(work, range(6), 8)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(StoreError, match=r"^no 2$"):
        next(results)


LIMITED = """
import os, sys
from encbench.runs import forked
forked.cores = lambda: 2
fork, allowed = os.fork, int(sys.argv[1])
def limited():
    global allowed
    allowed -= 1
    if allowed < 0:
        raise BlockingIOError()
    return fork()
os.fork = limited
pids = list(forked.in_processes(lambda _: os.getpid(), range(6), 8))
print(len(pids), len(set(pids)), os.getpid() in pids)
"""


@pytest.mark.parametrize(("allowed", "said"), [(2, "6 2 False"), (1, "6 1 False"), (0, "6 1 True")])
def test_fewer_processes_or_this_one_compute_if_no_more_can_be_started(allowed, said):
    ended = subprocess.run(
        [sys.executable, "-c", LIMITED, str(allowed)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (ended.stdout.strip(), ended.stderr) == (said, "")


SLOW = """
import os, time
from encbench.runs import forked
forked.cores = lambda: 2
def work(number):
    os.write(1, b"%d\\n" % os.getpid())
    time.sleep(0.5)
for _ in forked.in_processes(work, range(1000), 8):
    pass
"""


@pytest.mark.parametrize(
    ("end", "said"),
    [
        (lambda process: os.killpg(process.pid, signal.SIGINT), b"KeyboardInterrupt"),
        (lambda process: process.kill(), b""),
        (lambda process: process.terminate(), b""),
    ],
    ids=["Ctrl-C", "killed", "terminated"],
)
def test_the_processes_end_with_the_one_that_started_them(
    end: Callable[[subprocess.Popen[bytes]], None], said: bytes, tmp_path: Path
):
    with subprocess.Popen(
        [sys.executable, "-c", SLOW],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=True,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:
        assert process.stdout is not None
        others = [psutil.Process(int(process.stdout.readline())) for _ in range(2)]
        end(process)
        errors = process.communicate(timeout=60)[1]
    assert outliving(others, 30) == []
    assert errors.strip().splitlines()[-1:] == ([said] if said else [])
    assert errors.count(b"Traceback") == bool(said)
