"""What ``encbench doctor`` looks at. Nothing here may fail because of what it is looking for."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

from encbench.cli.findings import Finding, State, size
from encbench.cli.machine import devices, threads
from encbench.cli.probing import installed, module_of, required, requirements, run_probe
from encbench.errors import EncbenchError
from encbench.plugins.registry import Registry, default_registry

__all__ = ["examine"]

ROOM = 1 << 30
"""Bytes of free space under which a run may not get far."""
NOT_FOR_USERS = {"dev"}


def examine(output: Path) -> list[Finding]:
    """All that decides whether a run works here.

    Args:
        output: the results folder it would write.
    """
    facts = run_probe()
    checks: dict[str, Callable[[], Iterator[Finding]]] = {
        "versions": lambda: _versions(facts),
        "devices": lambda: devices(facts),
        "threads": lambda: threads(facts),
        "plug-ins": lambda: _plugins(facts),
        "optional parts": _extras,
        "output": lambda: _output(output),
        "data cache": _cache,
    }
    findings: list[Finding] = []
    for section, check in checks.items():
        try:
            findings.extend(check())
        # whatever is broken, the rest is still worth knowing
        except Exception as error:
            reason = f"cannot be looked at: {type(error).__name__}: {error}"
            findings.append(Finding(section, section, "warning", reason))
    return findings


def _versions(facts: dict[str, Any]) -> Iterator[Finding]:
    section = "versions"
    yield Finding(section, "encbench", "ok", metadata.version("encbench"))
    yield Finding(section, "Python", "ok", f"{platform.python_version()}, {sys.executable}")
    broken: dict[str, str] = facts["broken"]
    for name in required():
        version = installed(name)
        problem = broken.get(module_of(name) or "")
        if version is None:
            mend = f"not installed; python -m pip install {name}"
            yield Finding(section, name, "failure", mend)
        elif problem is not None:
            mend = f"{version} cannot be imported: {problem}; install it anew"
            yield Finding(section, name, "failure", mend)
        else:
            yield Finding(section, name, "ok", version)
    if "python" in broken:
        yield Finding(section, "imports", "failure", broken["python"])


def _plugins(facts: dict[str, Any]) -> Iterator[Finding]:
    section, registry = "plug-ins", default_registry()
    for plugin in registry.host.plugins:
        name = f"{plugin.distribution} {plugin.version} ({plugin.name})"
        if plugin.problem is not None:
            own = plugin.distribution == "encbench"
            text = f"{plugin.problem}; `encbench plugins --trace` tells more"
            yield Finding(section, name, "failure" if own else "warning", text)
            continue
        counts = (f"{len(named)} {kind}s" for kind, named in plugin.offers.items() if named)
        yield Finding(section, name, "ok", ", ".join(counts) or "offers nothing by name")
    for kind, name, distributions in registry.conflicts():
        text = f"offered by {' and '.join(distributions)}; say {distributions[0]}:{name}"
        yield Finding(section, f"{kind} {name!r}", "warning", text)
    if "problem" not in facts["torch"]:
        yield from _unloadable(registry)


def _unloadable(registry: Registry) -> Iterator[Finding]:
    for kind in ("encoding", "task", "metric"):
        for offer in registry.offers(kind):
            try:
                offer.load()
            except EncbenchError as error:
                own = offer.distribution == "encbench"
                state: State = "failure" if own else "warning"
                yield Finding("plug-ins", f"{kind} {offer.name!r}", state, str(error))


def _extras() -> Iterator[Finding]:
    wanted: dict[str, list[str]] = {}
    for name, extra in requirements():
        if extra is not None and extra not in NOT_FOR_USERS:
            wanted.setdefault(name, []).append(extra)
    for name, extras in sorted(wanted.items()):
        version = installed(name)
        if version is not None:
            yield Finding("optional parts", name, "ok", version)
        else:
            text = f"not installed; python -m pip install 'encbench[{extras[0]}]'"
            yield Finding("optional parts", name, "absent", text)


def _output(output: Path) -> Iterator[Finding]:
    section = "output"
    try:
        with contextlib.suppress(FileNotFoundError):
            # a name that is too long, or in a folder that nobody here may look into
            output.stat()
        place = output.absolute()
    except OSError as error:
        text = f"cannot be written ({error.strerror}); choose another folder with -o"
        yield Finding(section, str(output), "failure", text)
        return
    while not os.path.lexists(place) and place != place.parent:
        place = place.parent
    try:
        with tempfile.TemporaryDirectory(prefix=".encbench-doctor-", dir=place) as folder:
            before, after = Path(folder) / "new", Path(folder) / "record"
            before.mkdir()
            (before / "record.json").write_bytes(bytes(4096))
            before.rename(after)
    except OSError as error:
        text = f"cannot be written ({error.strerror}); choose another folder with -o"
        yield Finding(section, str(output), "failure", text)
        return
    text = "can be written" if output.exists() else f"can be made in {place}"
    yield Finding(section, str(output), "ok", text)
    free = shutil.disk_usage(place).free
    state: State = "ok" if free >= ROOM else "warning"
    yield Finding(section, "free space", state, size(free))
    records = output / "records"
    if records.is_dir():
        count = sum(1 for entry in os.scandir(records) if not entry.name.startswith("."))
        yield Finding(section, "records", "ok", f"{count} there")


def _cache() -> Iterator[Finding]:
    import pooch  # may be what is broken

    section, given = "data cache", os.environ.get("ENCBENCH_CACHE")
    folder = Path(given).expanduser() if given else Path(pooch.os_cache("encbench"))
    if not folder.exists():
        yield Finding(
            section, str(folder), "ok", "empty; downloads and what tasks compute go there"
        )
        return
    if not folder.is_dir():
        text = "is no folder; nothing can be kept or downloaded there, set ENCBENCH_CACHE to one"
        yield Finding(section, str(folder), "warning", text)
        return
    total = sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())
    writable = os.access(folder, os.W_OK)
    text = size(total) if writable else f"{size(total)}; cannot be written, so all is made anew"
    yield Finding(section, str(folder), "ok" if writable else "warning", text)
