"""Forks processes of ``python -m MODULE …`` in which all that encbench uses is imported already.

``tests.processes`` starts it as a script, with the number of a socket that listens; all of pytest's
workers connect to it, and it ends with the last of them. Each message is answered with a number: a
request, which comes with two open files for standard output and error, with the new process's; the
number of a process that has ended with its exit code.

A process that it forked starts others by ``multiprocessing``: worker processes of Dask, encbench's
own fork server. So that these need not import it all anew, a process that may start some has a
twin, forked before anything ran, that becomes the first of them. In the command line of all of them
stands "forkserver", as in that of the process which multiprocessing would have started.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import json
import logging
import os
import runpy
import signal
import socket
import sys
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from multiprocessing import connection, util
from pathlib import Path
from pkgutil import walk_packages
from types import CodeType
from typing import NamedTuple

import numpy as np

from encbench.training.optimizers import load_optimizers

PACKAGES = ("encbench", "encbench_encodings", "encbench_tasks", "encbench_leaderboard")
SCRIPTS = ("__main__", "fork_server", "import_probe", "pytest_plugin", "_kernels")
"""Modules that do something when they are imported, or are for processes of another kind, and
those that need Triton."""
LIBRARIES = ("dask.cli", "distributed.cli.dask_scheduler", "distributed.cli.dask_worker")
STARTING = ("run", "tune", "rerun", "reproduce", "worker")
"""Verbs that start processes by multiprocessing."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Request(NamedTuple):
    module: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]
    new_session: bool


def import_all() -> None:
    gc.disable()  # until all is there, which stays: half as long again otherwise
    # first, for encbench imports it with its logging off
    if find_spec("distributed"):
        for name in LIBRARIES:
            import_module(name)
    for package in map(import_module, PACKAGES):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.rpartition(".")[2] not in SCRIPTS:
                import_module(module.name)
    load_optimizers()
    gc.enable()


def serve(listener: socket.socket) -> Request:
    """Do as asked, until nobody is connected any more; returns in processes that were forked."""
    connected = [listener.accept()[0]]
    while connected or not ended(listener):
        for ready in connection.wait([listener, *connected]):
            assert isinstance(ready, socket.socket)
            if ready is listener:
                connected.append(listener.accept()[0])
                continue
            message, files, _, _ = socket.recv_fds(ready, 1 << 20, 2)
            if not message:
                connected.remove(ready)
                ready.close()
                continue
            asked = json.loads(message)
            if isinstance(asked, int):
                ready.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(asked, 0)[1]))
            elif os.fork() == 0:
                for number, file in enumerate(files, 1):
                    os.dup2(file, number)
                    os.close(file)
                request = Request(*asked)
                if request.new_session:
                    os.setsid()
                # not before: whoever asked may send a signal to the session
                ready.send(b"%d" % os.getpid())
                for one in (listener, *connected):
                    one.close()
                return request
            for file in files:
                os.close(file)
    os._exit(0)


def ended(listener: socket.socket) -> bool:
    """Whether nobody is about to connect, and nobody can any more."""
    with alone():
        if connection.wait([listener], 0):
            return False
        listener.close()
        return True


@contextmanager
def alone() -> Iterator[None]:
    """While one process connects, starts the server or, being the server, ends."""
    with Path(__file__).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def become(request: Request) -> None:
    """Make this process one that was started by itself."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    search = request.environment.get("PYTHONPATH", "").split(os.pathsep)
    # in place of this script's folder
    sys.path[:1] = [request.folder, *filter(None, search)]
    sys.argv = [request.module, *request.arguments]
    np.random.seed()  # noqa: NPY002
    if request.module == "encbench":
        # as where encbench.runs.executors.dask is the first to import it
        for name in ("distributed", "distributed.client"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def keep_twin() -> CodeType | None:
    """Fork a process that becomes the first worker process or fork server that this one starts.

    Returns None, and in the twin, when that time has come, what it is to run. Where that never
    comes it ends with this process.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # a signal to the group must not end the twin, which is no process of the program yet
    before = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS)
    if (twin := os.fork()) == 0:
        ours.close()
        return wait_as_twin(theirs)
    signal.pthread_sigmask(signal.SIG_SETMASK, before)
    theirs.close()
    owner, start_anew = os.getpid(), util.spawnv_passfds

    def spawnv_passfds(path: str, arguments: list[str], files: list[int]) -> int:
        _, code, *rest = arguments[arguments.index("-c") :]
        if os.getpid() != owner or not any(word in code for word in ("spawn_main", "forkserver")):
            return start_anew(path, arguments, files)
        util.spawnv_passfds = start_anew
        mask = [int(number) for number in signal.pthread_sigmask(signal.SIG_BLOCK, ())]
        told = [code, rest, sorted(files), mask, str(Path.cwd()), dict(os.environ)]
        socket.send_fds(ours, [json.dumps(told).encode()], sorted(files))
        ours.close()
        return twin

    util.spawnv_passfds = spawnv_passfds
    return None


def wait_as_twin(requests: socket.socket) -> CodeType:
    """What to run, with the open files, environment and signals of a process started for it."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    message, received, _, _ = socket.recv_fds(requests, 1 << 20, 256)
    if not message:
        os._exit(0)
    requests.close()
    code, rest, files, mask, folder, environment = json.loads(message)
    # first out of the way of one another
    moved = [fcntl.fcntl(file, fcntl.F_DUPFD, max(files) + 1) for file in received]
    for file, number in zip(moved, files, strict=True):
        os.dup2(file, number)
    for file in {*received, *moved} - {*files}:
        os.close(file)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update(environment)
    sys.argv = ["-c", *rest]
    for number, handler in handlers.items():
        signal.signal(number, handler)
    signal.pthread_sigmask(signal.SIG_SETMASK, mask)
    return compile(code, "<string>", "exec")


def leave_after(run: Callable[[], object]) -> None:
    """Run, and end this process as Python ends one, but for freeing what was imported.

    That would touch, and so copy, each page of memory that is shared with the server.
    """
    try:
        run()
    except SystemExit as end:
        if end.code is not None and not isinstance(end.code, int):
            raise
        code = end.code or 0
    else:
        code = 0
    threading._shutdown()  # type: ignore[attr-defined] # waits for threads
    atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    os._exit(code & 0xFF)


if __name__ == "__main__":
    import_all()
    assert threading.active_count() == 1, "a fork would leave threads behind"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, to all of its processes
    for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        # torch's take back each of its operators, in as long as a short verb takes
        finalizer.atexit = False
    gc.freeze()
    asked = serve(socket.socket(fileno=int(sys.argv[1])))
    become(asked)
    run = partial(runpy.run_module, asked.module, run_name="__main__", alter_sys=True)
    may_start = not set(STARTING).isdisjoint(asked.arguments)
    while may_start and (code := keep_twin()) is not None:
        run = partial(exec, code, {"__name__": "__main__"})
        if "multiprocessing.forkserver" in code.co_names:
            break
    leave_after(run)
