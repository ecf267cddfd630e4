"""Start processes in tests, and check that they have ended."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterable
from functools import cache
from multiprocessing import connection
from pathlib import Path
from typing import IO

import psutil

from tests import forkserver

FORKED = ("encbench", "dask")
PLAIN = "--assert=plain"
"""Needed to fork pytest: it cannot rewrite the assertions of modules that are already imported."""
READ_EARLY = re.compile(
    "(?!PYTHONPATH$|KMP_DUPLICATE_LIB_OK$|KMP_INIT_AT_FORK$)"
    "(PYTHON|OMP_|KMP_|MKL_|OPENBLAS_|MPL|DASK_|LANG|LC_|FORCE_|TERM)"
)
"""Variables that Python or a library reads at import; a forked process can set all others later.
The KMP variables that are left out are set by joblib at import, in this process too."""


class Forked:
    """A process that the server has forked, with the interface of ``subprocess.Popen``."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._end = os.pidfd_open(pid)

    def poll(self) -> int | None:
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not connection.wait([self._end], timeout):
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            os.close(self._end)
            self.returncode = _ask(self.pid)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


Process = Forked | subprocess.Popen[bytes]


def outside() -> dict[str, str]:
    """The environment without the variables that pytest's workers add."""
    return {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}


def start(
    module: str,
    *arguments: object,
    log: IO[bytes] | IO[str],
    errors: IO[bytes] | IO[str] | None = None,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    start_new_session: bool = False,
    afresh: bool = False,
) -> Process:
    """Start ``python -m module arguments``; standard output, and errors by default, go to ``log``.

    On Linux the process is forked from one that has already imported torch and all of encbench,
    which takes seconds; otherwise it behaves like a new process. It is really a new process on
    other systems, if ``afresh``, and if a variable differs that a library reads at import.
    """
    env = outside() if env is None else env
    folder = str(cwd or Path.cwd())
    told = [str(argument) for argument in arguments]
    may_fork = sys.platform == "linux" and (module in FORKED or PLAIN in told) and not afresh
    if may_fork and _early(env) == _early(_server()[1]):
        request = forkserver.Request(module, told, folder, env, start_new_session)
        files = [log.fileno(), (errors or log).fileno()]
        return Forked(_ask(request, files))
    return subprocess.Popen(
        [sys.executable, "-m", module, *told],
        stdin=subprocess.DEVNULL,
        stdout=log,
        stderr=errors or log,
        cwd=folder,
        env=env,
        start_new_session=start_new_session,
        # a shell's background jobs ignore Ctrl-C, and the tests may run in one
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    )


def _early(environment: dict[str, str]) -> dict[str, str]:
    return {k: v for k, v in environment.items() if READ_EARLY.match(k)}


def call(
    module: str,
    *arguments: object,
    cwd: Path | None = None,
    env: dict[str, str] | None = None,
    afresh: bool = False,
) -> subprocess.CompletedProcess[str]:
    """Run ``python -m module arguments`` and wait until it ends."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        code = start(
            module, *arguments, log=out, errors=errors, cwd=cwd, env=env, afresh=afresh
        ).wait()
        said = []
        for file in (out, errors):
            file.seek(0)
            said.append(file.read().decode())
    return subprocess.CompletedProcess([module, *arguments], code, *said)


@cache
def _server() -> tuple[socket.socket, dict[str, str], subprocess.Popen[bytes] | None]:
    """Socket connected to the fork server, its environment, and the server if started here.

    Of all workers of pytest, only one starts the server.
    """
    environment = {k: v for k, v in outside().items() if k != "PYTHONPATH"}
    # an abstract address of Linux, which needs no file
    address = "\0encbench-" + os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    here = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    server = None
    with forkserver.alone():
        try:
            here.connect(address)
        except ConnectionRefusedError:
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
                listener.bind(address)
                listener.listen()
                server = subprocess.Popen(
                    [sys.executable, forkserver.__file__, str(listener.fileno())],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    env=environment,
                    pass_fds=[listener.fileno()],
                )
                here.connect(address)
    return here, environment, server


def _ask(request: object, files: Iterable[int] = ()) -> int:
    requests = _server()[0]
    socket.send_fds(requests, [json.dumps(request).encode()], list(files))
    answer = requests.recv(1 << 10)
    assert answer, "the fork server has ended"
    return int(answer)


def outliving(processes: Iterable[psutil.Process], seconds: float = 120) -> list[psutil.Process]:
    """Return the processes that still run after this many seconds, and kill them.

    A zombie counts as ended: an orphan's new parent, the first process of a machine or container,
    may reap it late or never.
    """
    left = list(processes)
    deadline = time.monotonic() + seconds
    while (left := [p for p in left if _runs(p)]) and time.monotonic() < deadline:
        time.sleep(0.05)
    for process in left:
        process.kill()
    return left


def _runs(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
