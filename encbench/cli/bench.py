"""``encbench bench``: how fast encodings are, with pytest-benchmark."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer

from encbench.cli.bench_table import Timing, difference, read_timings, render
from encbench.errors import StoreError, UsageError
from encbench.plugins.parameters import validate_parameters
from encbench.plugins.registry import default_registry
from encbench.plugins.selector import parse_selector

STORAGE = Path(".benchmarks")
"""Where pytest-benchmark keeps what is saved, in the folder it is called in."""


def bench(
    encoding: Annotated[
        list[str] | None,
        typer.Option(
            "-e",
            "--encoding",
            help="NAME or NAME:KEY=VALUE,…; repeatable; all that are installed unless given.",
            show_default=False,
        ),
    ] = None,
    save: Annotated[
        str | None, typer.Option(help="Keep the timings in .benchmarks under this name.")
    ] = None,
    compare: Annotated[
        str | None, typer.Option(help="Saved name, its number, or a JSON file to compare with.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Markdown file for the table.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Compare even with another machine or settings.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    points: Annotated[int, typer.Option(min=1, help="Points of a batch.")] = 1024,
    ntk_points: Annotated[int, typer.Option(min=1, help="Points of the NTK.")] = 128,
    width: Annotated[int, typer.Option(min=1, help="Units of the two hidden layers.")] = 64,
    max_time: Annotated[
        float, typer.Option(min=0.01, help="Seconds of each benchmark, at least.")
    ] = 0.5,
) -> None:
    """Time encodings and tabulate.

    Forward pass, backward pass, training step and NTK of a small network on each encoding:
    median, parameters and accuracy as a Markdown table. Saved timings are those of
    pytest-benchmark: `pytest --benchmark-compare` and `pytest-benchmark compare` read them.

    \b
    Examples:
      encbench bench -e identity -e ffe -e mpe:resolutions=[64]
      encbench bench -e mpe --save before
      encbench bench -e mpe --compare before --output table.md
    """
    _require_pytest()
    selectors = encoding or []
    registry = default_registry()
    for text in selectors:
        name, parameters = parse_selector(text)
        offer = registry.find("encoding", name)
        validate_parameters("encoding", offer.name, offer.load(), parameters)
    before = read_timings(_saved(compare)) if compare is not None else {}
    flags = [f"--encbench-encoding={text}" for text in selectors]
    flags += [f"--encbench-device={_device(device)}", f"--encbench-points={points}"]
    flags += [f"--encbench-ntk-points={ntk_points}", f"--encbench-width={width}"]
    flags += [f"--benchmark-max-time={max_time}", *([f"--benchmark-save={save}"] if save else [])]
    if before and not force:
        settings = {"points": points, "ntk_points": ntk_points, "width": width}
        _require_comparable(before, device, settings, compare)
    code, found = _run(flags)
    if not found:
        raise StoreError("no benchmark ended well; what pytest said is above")
    if before and not force:
        _require_alike(before, found, compare)
    table = render(found, before, compare)
    if output is None:
        typer.echo(table, nl=False)
    else:
        try:
            output.write_text(table, encoding="utf-8")
        except OSError as error:
            raise StoreError(
                f"{output} cannot be written: {error.strerror}; choose another --output"
            ) from None
        typer.echo(f"wrote {output}", err=True)
    if code:
        raise typer.Exit(1)


def _require_pytest() -> None:
    missing = [name for name in ("pytest", "pytest_benchmark") if find_spec(name) is None]
    if missing:
        names = " and ".join(name.replace("_", "-") for name in missing)
        raise UsageError(
            f"encbench bench needs {names}; install with: pip install 'encbench[bench]'"
        )


def _device(device: str) -> str:
    # imports torch, which `encbench bench --help` does without
    from encbench.run.runner import resolve_device

    return resolve_device(device)


def _saved(name: str) -> Path:
    if Path(name).is_file():
        return Path(name)
    patterns = (f"*/*_{name}.json", f"*/{name}_*.json")
    found = sorted((file for p in patterns for file in STORAGE.glob(p)), key=lambda f: f.name)
    if not found:
        names = sorted({file.stem.partition("_")[2] for file in STORAGE.glob("*/*_*.json")})
        raise UsageError(
            f"no saved timings {name!r} in {STORAGE}; there are: {', '.join(names) or 'none'}. "
            f"`encbench bench --save {name}` saves some"
        )
    return found[-1]


def _run(flags: list[str]) -> tuple[int, dict[tuple[str, str], Timing]]:
    here = Path(__file__).parents[1] / "testing"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    with tempfile.TemporaryDirectory(prefix="encbench-bench-") as folder:
        file = Path(folder) / "timings.json"
        command = [sys.executable, "-m", "pytest", str(here / "benchmarks.py"), "-q"]
        command += ["-c", str(here / "benchmarks.ini"), "--rootdir", str(here)]
        # named, for where loading of plug-ins is turned off; quiet, for the table follows
        command += ["-p", "encbench", "-p", "benchmark", "-p", "no:cacheprovider"]
        command += ["--benchmark-quiet", "--no-header", f"--benchmark-json={file}", *flags]
        # pytest's words are progress and problems; standard output is for the table
        done = subprocess.run(command, stdout=sys.stderr.fileno(), env=environment, check=False)
        empty = not file.exists() or not file.stat().st_size
        return done.returncode, {} if empty else read_timings(file)


def _require_comparable(
    before: dict[tuple[str, str], Timing], device: str, settings: dict[str, int], name: str | None
) -> None:
    # imports torch; asked before the minutes are spent
    from encbench.testing.benchmarking import conditions

    here: dict[str, Any] = dict(conditions(_device(device)))
    any_one = next(iter(before.values()))
    _refuse(difference(any_one.conditions, here), name)
    _refuse(difference({key: any_one.settings.get(key) for key in settings}, settings), name)


def _require_alike(
    before: dict[tuple[str, str], Timing], found: dict[tuple[str, str], Timing], name: str | None
) -> None:
    for key in before.keys() & found.keys():
        _refuse(difference(before[key].conditions, found[key].conditions), name)
        _refuse(difference(before[key].settings, found[key].settings), name)


def _refuse(differences: list[str], name: str | None) -> None:
    if differences:
        raise UsageError(
            f"{name!r} was timed under other conditions: {'; '.join(differences)}. Times of "
            "different machines or settings say nothing of the encodings; --force compares anyway"
        )
