"""Every error that encbench raises on purpose, one tree.

    EncbenchError
    ├── UsageError                 the request is wrong (exit code 2)
    │   ├── UnknownNameError       no encoding, task or metric of that name is installed
    │   ├── AmbiguousNameError     two plug-ins offer that name
    │   ├── ParameterError         a parameter is unknown, of the wrong type or out of range
    │   └── SuiteError             the suite file is wrong; points at the key
    ├── PluginError                a plug-in could not be loaded, or broke its contract
    ├── DataError                  input data is missing, unreadable or unsuitable
    ├── StoreError                 results could not be written or read
    ├── ClusterError               a Dask cluster cannot be reached, or does not fit
    └── NtkError                   a kernel cannot be computed

The message says what was got, what was expected and how to mend it; the command line
prints it as one line, without a traceback. What many messages share is written here:
``did_you_mean``, ``plural``, ``cannot_write``, ``writes_to``, ``appearing``, ``check_writable``,
``error_line``, ``bounded`` and ``printable``.
"""

import difflib
import errno
import os
import sys
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path


class EncbenchError(Exception):
    """Root of the tree: catch this to catch everything encbench raises on purpose."""


class UsageError(EncbenchError):
    """The request is wrong; nothing has been run."""


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
    """A kernel cannot be computed, or does not fit in memory."""


SUPPORTED = ("linux", "darwin")
"""Values of ``sys.platform`` on which runs work; Windows has no ``resource`` and no SIGKILL."""


def require_platform() -> None:
    """Refuse a system on which runs do not work.

    Raises:
        EncbenchError: it is neither Linux nor macOS.
    """
    if sys.platform not in SUPPORTED:
        raise EncbenchError(
            f"encbench runs on Linux and macOS, and this is {sys.platform}; on Windows, install "
            "it in WSL: https://learn.microsoft.com/windows/wsl"
        )


def did_you_mean(name: object, known: Iterable[str], then: str = "", count: int = 1) -> str:
    """The end of a message on a name that is not known.

    "; did you mean 'mpe'? There are: mpe, ffe", with at most ``count`` known names, or
    "; there are: mpe, ffe" where none is near, for ``then`` = "there are: mpe, ffe".
    """
    near = difflib.get_close_matches(str(name), list(known), n=count, cutoff=0.55)
    if not near:
        return f"; {then}" if then else ""
    question = f"; did you mean {' or '.join(map(repr, near))}?"
    return f"{question} {then[0].upper()}{then[1:]}" if then else question


def check_choice(name: str, value: object, allowed: Sequence[str]) -> None:
    """Raise ParameterError unless value is one of the allowed words; suggests the nearest one."""
    if value in allowed:
        return
    words = ", ".join(map(repr, allowed))
    hint = did_you_mean(value, allowed)
    raise ParameterError(f"{name} must be one of {words}, got {value!r}{hint}")


def plural(number: int, what: str, many: str = "") -> str:
    """ "1 cell", "1,024 cells"; "2 entries" where the plural is given."""
    return f"{number:,} {what if number == 1 else many or f'{what}s'}"


def with_minus(number: str) -> str:
    """A number's text with a minus sign for the hyphen in front; an exponent keeps its own."""
    return f"−{number[1:]}" if number.startswith("-") else number


def error_line(error: BaseException) -> str:
    """ "ValueError: what it says", in one line that can be written and is not too long."""
    try:
        text = " ".join(bounded(str(error), 1000).split())
    except Exception:
        text = "(its text cannot be made)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def bounded(text: str, longest: int) -> str:
    """The text as UTF-8 can write it, its middle left out where it is longer than that."""
    text = text.encode("utf-8", "backslashreplace").decode()
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} … {len(text) - 2 * half:,} characters … {text[-half:]}"


MEND_WRITING = "free space or permissions, or name another file"


def cannot_write(
    path: str | os.PathLike[str], error: OSError, mend: str = MEND_WRITING
) -> StoreError:
    """The error to raise where a file or folder cannot be written: which, why, how to mend it."""
    return StoreError(f"cannot write {os.fspath(path)}: {error.strerror or error}; {mend}")


@contextmanager
def writes_to(path: Path, mend: str = MEND_WRITING) -> Iterator[None]:
    """Inside, a file is written into a folder that is made where it is missing.

    Raises:
        StoreError: it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise cannot_write(path, error, mend) from None


@contextmanager
def appearing(path: Path, mend: str = MEND_WRITING) -> Iterator[Path]:
    """A file to write beside ``path``, which takes its place at the end: whole or not at all.

    Raises:
        StoreError: as ``writes_to``; what was there stays.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        with writes_to(path, mend):
            yield temporary
            temporary.replace(path)
    finally:
        with suppress(OSError):  # also of a name that is too long
            temporary.unlink(missing_ok=True)


def check_writable(*paths: Path | None) -> None:
    """Refuse files that cannot be written, before the work whose result they are to hold.

    Raises:
        StoreError: one of them is a folder, or cannot be made in its own.
    """
    for path in paths:
        if path is None:
            continue
        try:
            for link in (p for p in path.absolute().parents if p.is_symlink()):
                link.stat()  # it leads nowhere, or in a circle
            if path.is_symlink():
                Path(os.path.realpath(path)).parent.stat()
            place = next(p for p in (path, *path.absolute().parents) if p.exists())
            if path.is_dir():
                raise OSError(errno.EISDIR, os.strerror(errno.EISDIR))
            folder = path.parent if place == path else place
            if not folder.is_dir():
                raise OSError(errno.ENOTDIR, os.strerror(errno.ENOTDIR))
            if not (os.access(folder, os.W_OK | os.X_OK) or os.access(path, os.W_OK)):
                raise OSError(errno.EACCES, os.strerror(errno.EACCES))
        except OSError as error:
            raise cannot_write(path, error) from None


def printable(text: str) -> str:
    """The text with its control characters as escapes.

    A plug-in's message, or a record from elsewhere, must not colour, clear or rename the
    terminal that it is shown in.
    """
    return "".join(c if _harmless(c) else c.encode("unicode_escape").decode() for c in text)


def _harmless(character: str) -> bool:
    return character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cs")
