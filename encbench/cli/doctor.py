"""``encbench doctor``: check whether a run would work here, and if not, why.

A check must survive the fault that it looks for: libraries and plug-ins' classes are imported in
another process (``import_probe``), and a check that raises is reported as a warning.
"""

from __future__ import annotations

import contextlib
import dataclasses
import itertools
import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
from packaging.requirements import Requirement
from rich.filesize import decimal

from encbench.cli.console import literal, output_console
from encbench.cli.import_probe import run_probe
from encbench.errors import SUPPORTED, plural
from encbench.plugins.registry import default_registry

State = Literal["ok", "absent", "warning", "failure"]
MARKS: dict[State, tuple[str, str]] = {
    "ok": ("✓", "green"),
    "absent": ("–", "dim"),
    "warning": ("!", "yellow"),
    "failure": ("✗", "red"),
}
MODULES = {
    "pillow": "PIL",
    "scikit-image": "skimage",
    "libigl": "igl",
    "markdown-it-py": "markdown_it",
}
"""Module names of distributions, where the two differ."""
PINNING = ("OMP_PROC_BIND", "GOMP_CPU_AFFINITY", "KMP_AFFINITY")
FREE_SPACE = 1 << 30
"""Free disk space below which there is a warning [bytes]."""


@dataclasses.dataclass(frozen=True)
class Check:
    """The result of one check."""

    name: str
    state: State
    """ "failure": a run would not work; "warning": it would, despite a problem; "absent": missing,
    but not needed."""
    text: str
    section: str = ""


def doctor(
    output: Annotated[
        Path, typer.Option("-o", "--output", help="Results folder that a run would write.")
    ] = Path("results"),
    as_json: Annotated[bool, typer.Option("--json", help="Print what was found as JSON.")] = False,
) -> None:
    """Check whether a run would work here.

    Checks versions, devices, threads, plug-ins, optional packages, the results folder and caches.
    ✓ is fine; – is missing but not needed; ! is a problem, but a run works; ✗ must be fixed.

    \b
    Examples:
      encbench doctor
      encbench doctor -o /scratch/results
      encbench doctor --json > report.json

    Exit codes: 0 a run would work, 1 it would not.
    """
    checks = examine(output)
    failures = sum(check.state == "failure" for check in checks)
    warnings = sum(check.state == "warning" for check in checks)
    if as_json:
        found = [dataclasses.asdict(check) for check in checks]
        typer.echo(json.dumps({"would_run": not failures, "findings": found}, indent=2))
    else:
        console = output_console()
        for section, group in itertools.groupby(checks, key=lambda check: check.section):
            console.print(literal(section), style="bold")
            for check in group:
                mark, style = MARKS[check.state]
                line = literal(f"  {mark} {check.name}: {' '.join(check.text.split())}")
                line.stylize(style, 2, 3)
                console.print(line, soft_wrap=True, highlight=False)
        counts = [f"{n} to fix (✗)" for n in (failures,) if n]
        counts += [f"{plural(n, 'warning')} (!)" for n in (warnings,) if n]
        verdict = f"A run would {'not ' if failures else ''}work here"
        closing = f"{verdict}: {', '.join(counts)}." if counts else f"{verdict}."
        console.print(literal(closing), style="red" if failures else "green", soft_wrap=True)
    if failures:
        raise typer.Exit(1)


def examine(output: Path) -> list[Check]:
    """Run every check for a run that would write to the folder ``output``."""
    # a crash is blamed on the module being imported, so torch precedes modules that import it
    names = sorted(required(), key=lambda name: (name != "torch", name))
    facts = run_probe([module for name in names if (module := module_of(name))])
    sections: dict[str, Callable[[], Iterator[Check]]] = {
        "versions": lambda: version_checks(facts),
        "devices": lambda: devices(facts),
        "threads": lambda: threads(facts),
        "plug-ins": lambda: plugin_checks(facts),
        "optional packages": optional_packages,
        "output": lambda: output_folder(output),
        "data cache": data_cache,
    }
    checks: list[Check] = []
    for section, look in sections.items():
        try:
            for check in look():
                checks.append(dataclasses.replace(check, section=section))  # noqa: PERF401 # keeps those before an error
        # whatever is broken, the other sections are still useful
        except Exception as error:
            checks.append(_not_checked(section, error, section))
    return checks


def required(extra: str = "") -> list[str]:
    """Distributions that every installation needs, or those that an extra adds."""
    found = []
    for requirement in map(Requirement, metadata.requires("encbench") or ()):
        marker = requirement.marker
        always = marker is None or marker.evaluate({"extra": ""})
        wanted = marker is None or marker.evaluate({"extra": extra})
        # an extra adds only what is not required without it
        if wanted and not (extra and always):
            found.append(requirement.name.lower())
    return found


def module_of(distribution: str) -> str | None:
    """Name of a distribution's module; None if it is not installed."""
    if installed_version(distribution) is None:
        return None
    return MODULES.get(distribution, distribution.replace("-", "_"))


def installed_version(distribution: str) -> str | None:
    """Installed version of a distribution; None if it is not installed."""
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return None


def version_checks(facts: dict[str, Any]) -> Iterator[Check]:
    """Check encbench, Python, the system, and whether required packages can be imported."""
    yield Check("encbench", "ok", metadata.version("encbench"))
    yield Check("Python", "ok", f"{platform.python_version()}, {sys.executable}")
    supported = sys.platform in SUPPORTED
    text = platform.platform(terse=True) + ("" if supported else "; encbench runs on Linux, macOS")
    yield Check("system", "ok" if supported else "warning", text)
    broken: dict[str, str] = facts["broken"]
    for name in required():
        version, problem = installed_version(name), broken.get(module_of(name) or "")
        if version is None:
            yield Check(name, "failure", f"not installed; python -m pip install {name}")
        elif problem is not None:
            text = f"{version} cannot be imported: {problem}; reinstall it"
            yield Check(name, "failure", text)
        else:
            yield Check(name, "ok", version)
    if "python" in broken:
        yield Check("imports", "failure", broken["python"])


def devices(facts: dict[str, Any]) -> Iterator[Check]:
    """Check processor, memory and GPUs; if torch finds no GPU, report why."""
    yield guarded("CPU", _processor)
    yield guarded("memory", _memory)
    torch = facts["torch"]
    if "problem" in torch:
        yield Check("torch", "failure", torch["problem"])
        return
    yield Check("CPU capability", "ok", torch["cpu_capability"])
    for index, gpu in enumerate(torch["gpus"]):
        yield Check(f"cuda:{index}", "ok", f"{gpu['name']}, {decimal(gpu['memory'])}")
    driver = torch["driver"]
    if torch["available"]:
        built = f"CUDA {torch['cuda']}" if torch["cuda"] else f"ROCm {torch['rocm']}"
        yield Check("GPU", "ok", f"torch computes with {built}; driver: {driver}")
    elif driver is None:
        yield Check("GPU", "absent", "none found; cells run on the CPU")
    elif not torch["cuda"] and not torch["rocm"]:
        text = f"torch {torch['version']} is built for the CPU only; install a build with CUDA"
        yield Check("GPU", "warning", f"{driver}, but {text}: https://pytorch.org/get-started")
    else:
        reason = "; ".join(facts["warnings"]) or "torch does not say why"
        text = f"torch {torch['version']} (CUDA {torch['cuda']}) finds none: {reason}"
        yield Check("GPU", "warning", f"{driver}, but {text}")


def threads(facts: dict[str, Any]) -> Iterator[Check]:
    """Check numbers of threads, and settings that would slow down several cells at a time."""
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
        value = os.environ.get(name)
        if value is not None and not value.isdecimal():
            yield Check(name, "warning", f"{value!r} is not a number of threads")
        elif value is not None:
            yield Check(name, "ok", f"{value}; `encbench run --threads` overrides it")
    for name in PINNING:
        if os.environ.get(name, "false").lower() not in ("false", "disabled", "none"):
            text = "may pin the threads of all cells to the same cores; unset it for -j above 1"
            yield Check(name, "warning", f"{os.environ[name]!r} {text}")
    if "threads" in facts["torch"]:
        yield Check("torch", "ok", f"{facts['torch']['threads']} threads by default")
    libraries = facts.get("threads", [])
    if isinstance(libraries, dict):
        yield Check("BLAS", "warning", libraries["problem"])
        libraries = []
    for library in libraries:
        version = " ".join(str(library[k]) for k in ("version", "architecture") if library[k])
        text = f"{version or 'version unknown'}, {library['num_threads']} threads by default"
        yield Check(f"{library['user_api']}: {library['internal_api']}", "ok", text)
    from encbench.runs.limits import cores  # imports pydantic

    n = cores()
    text = f"{n} cores: up to -j {n} with one thread per cell (--threads)"
    yield Check("-j", "ok", text)


def plugin_checks(facts: dict[str, Any]) -> Iterator[Check]:
    """Check whether plug-ins can be loaded, and report names that several of them offer."""
    registry = default_registry()
    for plugin in registry.host.plugins:
        if plugin.problem is None:
            counts = (f"{len(named)} {kind}s" for kind, named in plugin.offers.items() if named)
            yield Check(str(plugin), "ok", ", ".join(counts) or "offers nothing by name")
        else:
            text = f"{plugin.problem}; `encbench plugins --trace` shows the traceback"
            yield Check(str(plugin), _state_if_broken(plugin.distribution), text)
    for what, note in registry.conflict_notes():
        yield Check(what, "warning", note)
    for distribution, offer, problem in facts.get("offers", ()):
        yield Check(offer, _state_if_broken(distribution), problem)


def _state_if_broken(distribution: str) -> State:
    return "failure" if distribution == "encbench" else "warning"


def optional_packages() -> Iterator[Check]:
    """Check which packages of encbench's extras are installed, except for "dev"."""
    extras: dict[str, str] = {}
    for extra in metadata.metadata("encbench").get_all("Provides-Extra") or ():
        if extra != "dev":
            extras |= {name: extra for name in required(extra) if name not in extras}
    for name, extra in sorted(extras.items()):
        version = installed_version(name)
        text = f"not installed; python -m pip install 'encbench[{extra}]'"
        yield Check(name, "absent", text) if version is None else Check(name, "ok", version)


def output_folder(output: Path) -> Iterator[Check]:
    """Check whether the results folder can be written, and how much space is free."""
    try:
        with contextlib.suppress(FileNotFoundError):
            # raises if the name is too long or the parent folder is not accessible
            output.stat()
        place = output.absolute()
        while not os.path.lexists(place) and place != place.parent:
            place = place.parent
        with tempfile.TemporaryDirectory(prefix=".encbench-doctor-", dir=place) as folder:
            before, after = Path(folder) / "new", Path(folder) / "record"
            before.mkdir()
            (before / "record.json").write_bytes(bytes(4096))
            before.rename(after)
    except OSError as error:
        text = f"cannot be written ({error.strerror}); choose another folder with -o"
        yield Check(str(output), "failure", text)
        return
    text = "can be written" if output.exists() else f"can be made in {place}"
    yield Check(str(output), "ok", text)
    free = shutil.disk_usage(place).free
    yield Check("free space", "ok" if free >= FREE_SPACE else "warning", decimal(free))
    records = output / "records"
    if records.is_dir():
        places = ("[!.]*/record.json", "[!.]?/*/record.json")
        count = sum(1 for place in places for _ in records.glob(place))
        yield Check("records", "ok", f"{count} there")


def data_cache() -> Iterator[Check]:
    """Check the folder that caches downloads and what tasks compute."""
    import pooch  # may itself be broken

    given = os.environ.get("ENCBENCH_CACHE")
    folder = Path(given).expanduser() if given else Path(pooch.os_cache("encbench"))
    if not folder.exists():
        yield Check(str(folder), "ok", "empty; downloads and what tasks compute go there")
    elif not folder.is_dir():
        text = "is not a folder, so nothing can be cached there; set ENCBENCH_CACHE to a folder"
        yield Check(str(folder), "warning", text)
    else:
        size = decimal(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()))
        if os.access(folder, os.W_OK):
            yield Check(str(folder), "ok", size)
        else:
            text = f"{size}; cannot be written, so nothing new is kept"
            yield Check(str(folder), "warning", text)


def guarded(name: str, look: Callable[[], str]) -> Check:
    """Build a check with the text that ``look`` returns; a warning if it raises."""
    try:
        return Check(name, "ok", look())
    except Exception as error:
        return _not_checked(name, error)


def _not_checked(name: str, error: Exception, section: str = "") -> Check:
    text = f"cannot be checked: {type(error).__name__}: {error}"
    return Check(name, "warning", text, section)


def _processor() -> str:
    # these import threadpoolctl and pydantic, which may be broken
    from encbench.results.provenance import processor
    from encbench.runs.limits import cores

    return f"{processor()}, {cores()} cores for this process"


def _memory() -> str:
    import psutil  # may itself be broken

    memory = psutil.virtual_memory()
    text = f"{decimal(memory.total)}, {decimal(memory.available)} of it free"
    try:
        limit = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return text
    return text if limit == "max" else f"{text}; the cgroup allows {decimal(int(limit))}"
