"""Forks processes of ``python -m MODULE …`` in which all that encbench uses is imported already.

``tests.processes`` starts it as a script, with the number of a socket. Each message through that is
answered with a number: a request, which comes with two open files for standard output and error,
with the new process's; the number of a process that has ended with its exit code.
"""

from __future__ import annotations

import gc
import json
import os
import runpy
import signal
import socket
import sys
import threading
from importlib import import_module, util
from pkgutil import walk_packages
from typing import NamedTuple

import numpy as np

PACKAGES = ("encbench", "encbench_encodings", "encbench_tasks", "encbench_leaderboard")
SCRIPTS = ("__main__", "fork_server", "import_probe", "pytest_plugin")
"""Modules that do something when they are imported, or are for processes of another kind."""
LIBRARIES = ("dask.cli", "distributed.cli.dask_scheduler", "distributed.cli.dask_worker")


class Request(NamedTuple):
    module: str
    arguments: list[str]
    folder: str
    environment: dict[str, str]
    new_session: bool


def import_all() -> None:
    for package in map(import_module, PACKAGES):
        for module in walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.rpartition(".")[2] not in SCRIPTS:
                import_module(module.name)
    if util.find_spec("distributed"):
        for name in LIBRARIES:
            import_module(name)


def serve(requests: socket.socket) -> Request:
    """Do as asked, to the end of the socket; returns in processes that were forked."""
    while True:
        message, files, _, _ = socket.recv_fds(requests, 1 << 20, 2)
        if not message:
            os._exit(0)
        asked = json.loads(message)
        if isinstance(asked, int):
            answer = os.waitstatus_to_exitcode(os.waitpid(asked, 0)[1])
        elif not (answer := os.fork()):
            requests.close()
            for number, file in enumerate(files, 1):
                os.dup2(file, number)
                os.close(file)
            return Request(*asked)
        for file in files:
            os.close(file)
        requests.send(json.dumps(answer).encode())


def become(request: Request) -> None:
    """Make this process one that was started by itself."""
    if request.new_session:
        os.setsid()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    search = request.environment.get("PYTHONPATH", "").split(os.pathsep)
    # in place of this script's folder
    sys.path[:1] = [request.folder, *filter(None, search)]
    sys.argv = [request.module, *request.arguments]
    np.random.seed()  # noqa: NPY002


if __name__ == "__main__":
    import_all()
    assert threading.active_count() == 1, "a fork would leave threads behind"
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal, to all of its processes
    gc.freeze()
    asked = serve(socket.socket(fileno=int(sys.argv[1])))
    become(asked)
    runpy.run_module(asked.module, run_name="__main__", alter_sys=True)
