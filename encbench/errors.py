"""Every error that encbench raises on purpose, one tree.

    EncbenchError
    ├── UsageError                 the request is wrong (exit code 2)
    │   ├── UnknownNameError       no encoding, task or metric of that name is installed
    │   ├── AmbiguousNameError     two plug-ins offer that name
    │   ├── ParameterError         a parameter is unknown, of the wrong type or out of range
    │   └── SuiteError             the suite file is wrong; points at the key
    ├── PluginError                a plug-in could not be loaded, or broke its contract
    ├── DataError                  input data is missing, unreadable or unsuitable
    │   └── MissingDataError       there is no built-in data and no file of that name
    ├── StoreError                 results could not be written or read
    ├── ClusterError               a Dask cluster cannot be reached, or does not fit
    └── NtkError                   a kernel cannot be computed

A message states what was received, what was expected and how to fix it; the command line prints it
as one line, without a traceback. Helpers for messages: ``did_you_mean``, ``plural``,
``cannot_write``, ``writes_to``, ``appearing``, ``check_writable``, ``error_line``, ``bounded`` and
``printable``.
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
    """Base class of all errors that encbench raises on purpose."""


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


class MissingDataError(DataError):
    """There is no built-in data and no file of the name that was given; a run is refused."""


class StoreError(EncbenchError):
    """Results could not be written or read."""


class ClusterError(EncbenchError):
    """A Dask cluster cannot be reached, was lost, or has workers that cannot run cells."""


class NtkError(EncbenchError):
    """A kernel cannot be computed, or does not fit in memory."""


SUPPORTED = ("linux", "darwin")
"""Values of ``sys.platform`` on which runs work; Windows has no ``resource`` and no SIGKILL."""


def require_platform() -> None:
    """Raise an error on systems that cannot run cells.

    Raises:
        EncbenchError: the system is neither Linux nor macOS.
    """
    if sys.platform not in SUPPORTED:
        raise EncbenchError(
            f"encbench runs on Linux and macOS, and this is {sys.platform}; on Windows, install "
            "it in WSL: https://learn.microsoft.com/windows/wsl"
        )


def did_you_mean(name: object, known: Iterable[str], then: str = "", count: int = 1) -> str:
    """The end of a message about an unknown name, with at most ``count`` similar known names,
    whatever their case.

    For ``then`` = "there are: mpe, ffe": "; did you mean 'mpe'? There are: mpe, ffe", or
    "; there are: mpe, ffe" if no known name is similar.
    """
    folded = {each.casefold(): each for each in known}
    close = difflib.get_close_matches(str(name).casefold(), folded, n=count, cutoff=0.55)
    near = [folded[each] for each in close]
    if not near:
        return f"; {then}" if then else ""
    question = f"; did you mean {' or '.join(map(repr, near))}?"
    return f"{question} {then[0].upper()}{then[1:]}" if then else question


def check_choice(name: str, value: object, allowed: Sequence[str]) -> None:
    """Raise ParameterError unless value is one of the allowed words; suggest the most similar."""
    if value in allowed:
        return
    words = ", ".join(map(repr, allowed))
    hint = did_you_mean(value, allowed)
    raise ParameterError(f"{name} must be one of {words}, got {value!r}{hint}")


def plural(number: int, what: str, many: str = "") -> str:
    """ "1 cell" or "1,024 cells"; ``many`` is the plural if it is irregular: "2 entries"."""
    return f"{number:,} {what if number == 1 else many or f'{what}s'}"


def with_minus(number: str) -> str:
    """A number's text with a leading hyphen replaced by a minus sign; exponents are unchanged."""
    return f"−{number[1:]}" if number.startswith("-") else number


def error_line(error: BaseException) -> str:
    """ "ValueError: message", in one line of bounded length that is valid UTF-8."""
    try:
        text = " ".join(bounded(str(error), 1000).split())
    except Exception:
        text = "(its message cannot be formatted)"
    return f"{type(error).__name__}: {text}" if text else type(error).__name__


def bounded(text: str, longest: int) -> str:
    """The text made valid UTF-8; its middle is left out if it has over ``longest`` characters."""
    text = text.encode("utf-8", "backslashreplace").decode()
    if len(text) <= longest:
        return text
    half = longest // 2
    return f"{text[:half]} … {len(text) - 2 * half:,} characters … {text[-half:]}"


ANOTHER_FILE = "name another file"


def cannot_write(
    path: str | os.PathLike[str], error: OSError, elsewhere: str = ANOTHER_FILE
) -> StoreError:
    """The error for a file or folder that cannot be written: its path, the reason, the remedy.

    ``elsewhere`` says how to choose another place; space and permissions are named where they can
    help.
    """
    reason, remedy = error.strerror or str(error), f"free space or permissions, or {elsewhere}"
    if isinstance(error, NotADirectoryError | FileNotFoundError | FileExistsError):
        remedy = elsewhere
        files = (p for p in (Path(path), *Path(path).parents) if p.is_file())
        if (file := next(files, None)) is not None:
            reason = f"{file} is a file, not a folder"
    return StoreError(f"cannot write {os.fspath(path)}: {reason}; {remedy}")


@contextmanager
def writes_to(path: Path, elsewhere: str = ANOTHER_FILE) -> Iterator[None]:
    """Context in which a file is written; creates its folder if necessary.

    Raises:
        StoreError: the file cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield
    except OSError as error:
        raise cannot_write(path, error, elsewhere) from None


@contextmanager
def appearing(path: Path, elsewhere: str = ANOTHER_FILE) -> Iterator[Path]:
    """Write ``path`` atomically: yield a temporary file beside it, which replaces it at the end.

    Raises:
        StoreError: the file cannot be written; an existing file is unchanged.
    """
    temporary = path.with_name(f".{path.name}.new")
    try:
        with writes_to(path, elsewhere):
            yield temporary
            temporary.replace(path)
    finally:
        with suppress(OSError):  # such as a name that is too long
            temporary.unlink(missing_ok=True)


def check_writable(*paths: Path | None) -> None:
    """Check that files can be written, before the work whose results they will hold.

    Raises:
        StoreError: a path is a folder, or no file can be created in its folder.
    """
    for path in paths:
        if path is None:
            continue
        try:
            for link in (p for p in path.absolute().parents if p.is_symlink()):
                link.stat()  # fails if it is broken or circular
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
    """The text with control characters escaped.

    Text from plug-ins and from others' records must not be able to control the terminal.
    """
    return "".join(c if _harmless(c) else c.encode("unicode_escape").decode() for c in text)


def _harmless(character: str) -> bool:
    return character in "\n\t" or unicodedata.category(character) not in ("Cc", "Cs")
