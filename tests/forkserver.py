"""Server that forks processes of ``python -m MODULE …`` with everything already imported.

Importing torch takes seconds, and tests start hundreds of processes. ``tests.processes`` runs this
file as a script, with the number of a listening socket. All pytest workers connect to it, and it
exits when the last of them disconnects. A client sends either a request, with open files for
standard output and error, and receives the process id of the fork; or the process id of a fork that
has exited, and receives its exit code.

A forked process may itself start processes through ``multiprocessing``: Dask's workers, or
encbench's own fork server. To save their imports, too, a process that may do so has a twin, forked
before anything ran, which becomes the first of these. The command line of all these processes
contains "forkserver", as if multiprocessing had started them.
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
"""Modules that must not be imported here: scripts, and those that need pytest or Triton."""
LIBRARIES = ("dask.cli", "distributed.cli.dask_scheduler", "distributed.cli.dask_worker")
STARTING = ("run", "tune", "rerun", "reproduce", "worker", "check")
"""Verbs that start processes through multiprocessing."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Request(NamedTuple):
    module: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]
    new_session: bool


def import_all() -> None:
    gc.disable()  # what is imported stays; collecting would take half as long again
    # before encbench, which imports it with its logging turned off
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
    """Answer messages until the last client disconnects. Returns only in a forked process."""
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
                # only now, since the client may send a signal to the new session
                ready.send(b"%d" % os.getpid())
                for one in (listener, *connected):
                    one.close()
                return request
            for file in files:
                os.close(file)
    os._exit(0)


def ended(listener: socket.socket) -> bool:
    """Close the listener and return True, unless a client is connecting."""
    with alone():
        if connection.wait([listener], 0):
            return False
        listener.close()
        return True


@contextmanager
def alone() -> Iterator[None]:
    """Lock held by the one process that is connecting, starting the server or shutting it down."""
    with Path(__file__).open() as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def become(request: Request) -> None:
    """Give this process the folder, environment and arguments of the request."""
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
        # as if encbench.runs.executors.dask had been the first to import it
        for name in ("distributed", "distributed.client"):
            logging.getLogger(name).setLevel(logging.CRITICAL)


def keep_twin() -> CodeType | None:
    """Fork a twin, which becomes the first worker process or fork server that this one starts.

    Returns None in this process. In the twin it returns the code to run once the process is needed;
    if that never happens, the twin exits with this process.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    # a signal to the process group must not end the twin, which the program has not started yet
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
    """Wait until the twin is needed, set up its files and signals, and return the code to run."""
    handlers = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        signal.signal(number, signal.SIG_IGN)
    message, received, _, _ = socket.recv_fds(requests, 1 << 20, 256)
    if not message:
        os._exit(0)
    requests.close()
    code, rest, files, mask, folder, environment = json.loads(message)
    # to numbers that are free, so that none is overwritten
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
    """Run, then exit as Python does, but without freeing what was imported.

    Freeing would touch, and so copy, every page of memory shared with the server.
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
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal sends it to all of its processes
    for finalizer in list(weakref.finalize._registry):  # type: ignore[attr-defined]
        # torch's would unregister each of its operators, which takes as long as a short verb
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
