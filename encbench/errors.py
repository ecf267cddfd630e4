"""Every error that encbench raises on purpose, one tree.

    EncbenchError
    ├── UsageError                 the request cannot be meant as written (exit code 2)
    │   ├── UnknownNameError       no encoding, task or metric of that name is installed
    │   ├── AmbiguousNameError     two plug-ins offer that name
    │   ├── ParameterError         a parameter is unknown, of the wrong type or out of range
    │   └── SuiteError             the suite file is wrong; points at the key
    ├── PluginError                a plug-in could not be loaded, or broke its contract
    ├── DataError                  input data is missing, unreadable or unsuitable
    ├── StoreError                 results could not be written or read
    ├── ClusterError               a Dask cluster cannot be reached, or does not fit
    └── NtkError                   a kernel was asked for that cannot be computed

The message says what was got, what was expected and how to mend it; the command line
prints it as one line, without a traceback. Two phrases that many messages share are written here:
``did_you_mean`` and ``cannot_write``.
"""

import difflib
import os
from collections.abc import Iterable


class EncbenchError(Exception):
    """Root of the tree: catch this to catch everything encbench raises on purpose."""


class UsageError(EncbenchError):
    """The request cannot be meant as written."""


class UnknownNameError(UsageError):
    """No encoding, task or metric of that name is installed."""


class AmbiguousNameError(UsageError):
    """Two plug-ins offer the name; ``distribution:name`` picks one."""


class ParameterError(UsageError):
    """A parameter is unknown, of the wrong type or out of range."""


class SuiteError(UsageError):
    """The suite is wrong; the message points at the key."""


class PluginError(EncbenchError):
    """A plug-in could not be loaded, or broke its contract; names its distribution."""


class DataError(EncbenchError):
    """Input data is missing, unreadable or unsuitable."""


class StoreError(EncbenchError):
    """Results could not be written or read."""


class ClusterError(EncbenchError):
    """A Dask cluster cannot be reached, was lost, or has workers that cannot run cells."""


class NtkError(EncbenchError):
    """A kernel was asked for that cannot be computed, or not in this memory."""


def did_you_mean(name: object, known: Iterable[str], count: int = 1) -> str:
    """ "did you mean 'mpe'? ", or nothing where no known name is near.

    Args:
        name: what was given.
        known: names that would do.
        count: how many of them to propose, at most.

    Returns:
        A clause that ends in a space, so that a message goes on behind it.
    """
    near = difflib.get_close_matches(str(name), list(known), n=count, cutoff=0.5)
    return f"did you mean {' or '.join(map(repr, near))}? " if near else ""


def cannot_write(
    path: str | os.PathLike[str],
    error: OSError,
    mend: str = "free space or permissions, or name another file",
) -> StoreError:
    """The error to raise where a file or folder cannot be written: which, why, how to mend it."""
    return StoreError(f"cannot write {os.fspath(path)}: {error.strerror or error}; {mend}")
