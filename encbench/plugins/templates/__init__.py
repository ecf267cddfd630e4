"""Templates of new plug-in distributions: files in which ``$name`` and others are substituted."""

from __future__ import annotations

import keyword
import re
import shutil
import tempfile
from importlib.util import find_spec
from pathlib import Path
from string import Template
from typing import Literal

from encbench.errors import UsageError, cannot_write

Kind = Literal["encoding", "task", "network", "activation", "metric", "optimizer", "schedule"]
FILES = {
    "pyproject.toml": "pyproject.toml",
    "README.md": "README.md",
    "init.py": "src/{package}/__init__.py",
    "{kind}/module.py": "src/{package}/{name}.py",
    "{kind}/test.py": "tests/test_{name}.py",
}
"""Template to path of the written file."""
PHOTOGRAPH = "-t image:image=chelsea,side=64 --epochs 20"
RUN = {
    "encoding": f"-e $name {PHOTOGRAPH}",
    "task": "-e ffe:levels=4 -t $name --epochs 20",
    "network": f"{PHOTOGRAPH} --set network.kind=$name",
    "activation": f"{PHOTOGRAPH} --set network.activation=$name",
    "metric": PHOTOGRAPH,
    "optimizer": f"{PHOTOGRAPH} --optimizer $name",
    "schedule": f"{PHOTOGRAPH} --optimizer adam --schedule $name",
}
"""Kind of plug-in to the arguments of `encbench run` in its README."""
CHECKED = {
    "encoding": ":levels=3",
    "task": ":side=16",
    **dict.fromkeys(("network", "activation", "metric", "optimizer"), ""),
}
"""Kinds that `encbench check` supports, with parameters that make the check fast."""


def check_name(name: str) -> str:
    """Check that a name can be registered, imported and used in a suite, and return it.

    Raises:
        UsageError: it is not a lower-case identifier, or the package's name is in use.
    """
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name) or keyword.iskeyword(name):
        better = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name)
        better = re.sub(r"[^a-z0-9]+", "_", better.lower()).strip("_").lstrip("_0123456789")
        usable = better and not keyword.iskeyword(better)
        hint = f"; {better!r} would do" if usable else ""
        raise UsageError(
            f"{name!r} cannot name a plug-in: expected lower-case letters, digits and "
            f"underscores, a letter first, and no Python keyword{hint}"
        )
    package = _package(name)
    if (spec := find_spec(package)) is not None:
        raise UsageError(
            f"a package {package} is installed already ({spec.origin}) and would be hidden; "
            "choose another name"
        )
    return name


def files_of(kind: Kind, name: str) -> dict[str, str]:
    """Maps the path of every file of the distribution ``encbench-NAME`` to its content."""
    values = {
        "arguments": RUN[kind].replace("$name", name),
        "check": f"encbench check {name}{CHECKED[kind]}\n" if kind in CHECKED else "",
        "what": "input encoding" if kind == "encoding" else kind,
        "kind": kind,
        "name": name,
        "class_name": "".join(part.capitalize() for part in name.split("_")),
        "package": _package(name),
        "distribution": _distribution(name),
    }
    files = {}
    for template, path in FILES.items():
        source = Path(__file__).parent / f"{template}.template".format(**values)
        text = source.read_text(encoding="utf-8")
        files[path.format(**values)] = Template(text).substitute(values)
    return files


def write_plugin(kind: Kind, name: str, directory: Path) -> Path:
    """Write the distribution atomically into a new folder in ``directory``, and return its path.

    Raises:
        UsageError: the name is invalid, or the folder exists already.
        StoreError: the folder cannot be written.
    """
    root = directory / _distribution(check_name(name))
    if root.exists():
        raise UsageError(f"{root} exists, nothing was written; choose another --directory or NAME")
    try:
        directory.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{root.name}-", dir=directory) as temporary:
            unfinished = Path(temporary) / root.name
            for path, content in files_of(kind, name).items():
                file = unfinished / path
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_text(content, encoding="utf-8")
            shutil.move(unfinished, root)
    except OSError as error:
        raise cannot_write(root, error, "choose another --directory") from None
    return root


def _package(name: str) -> str:
    return f"encbench_{name}"


def _distribution(name: str) -> str:
    return _package(name).replace("_", "-")
