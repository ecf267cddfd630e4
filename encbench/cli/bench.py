"""``encbench bench``: time encodings with pytest-benchmark."""

from __future__ import annotations

import json
import math
import os
import re
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic.dataclasses import dataclass
from tabulate import tabulate

from encbench.errors import StoreError, UsageError, check_writable, plural, writes_to
from encbench.plugins.registry import default_registry

STORAGE = Path(".benchmarks")
"""Folder of saved timings in the working directory: pytest-benchmark's default."""
COLUMNS = {
    "forward": ("forward", "error"),
    "backward": ("backward", "gradient's error"),
    "step": ("training step", "PSNR [dB]"),
    "ntk": ("NTK", "NTK's error"),
}
"""Column titles of the time and the accuracy of each operation."""
FEW_ROUNDS = 20
"""Rounds below which the quartiles do not tell noise from a change."""
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "µs"), (1e-9, "ns"))


@dataclass(frozen=True)
class Timing:
    """One benchmark of one encoding; times in seconds."""

    encoding: str
    operation: str
    median: float
    q1: float
    q3: float
    rounds: int
    parameters: dict[str, int]
    """Numbers of parameters of "mlp" and "encoding"."""
    accuracy: float
    accuracy_means: str
    conditions: dict[str, Any]
    settings: dict[str, Any]

    def time(self) -> str:
        """The median with three digits, such as "1.05 ms"."""
        size, unit = next((u for u in UNITS if self.median >= u[0]), UNITS[-1])
        return f"{self.median / size:.3g} {unit}"

    def ratio_to(self, before: Timing) -> str:
        """Ratio such as "×0.50", or "≈" if the interquartile ranges overlap; "?" after it if one of
        the two has few rounds."""
        if self.q1 <= before.q3 and before.q1 <= self.q3:
            return "≈"
        few = min(self.rounds, before.rounds) < FEW_ROUNDS
        return f"×{self.median / before.median:.2f}{'?' * few}"

    def accuracy_text(self) -> str:
        """The accuracy as text: "25.3" for a PSNR, "1.5e-07" for an error."""
        exact = math.isfinite(self.accuracy)
        return f"{self.accuracy:{'.1f' if self.operation == 'step' or not exact else '.1e'}}"


Timings = dict[tuple[str, str], Timing]
"""Timings by (encoding, operation)."""


def bench(
    encoding: Annotated[
        list[str] | None,
        typer.Option(
            "-e",
            "--encoding",
            help="NAME or NAME:KEY=VALUE,…; repeatable; default: all installed.",
        ),
    ] = None,
    save: Annotated[
        str | None, typer.Option(help="Keep the timings in .benchmarks under this name.")
    ] = None,
    compare: Annotated[
        str | None, typer.Option(help="Timings to compare with: saved name, number or JSON file.")
    ] = None,
    output: Annotated[
        Path | None, typer.Option("-o", "--output", help="Markdown file for the table.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Compare even with another machine or settings.")
    ] = False,
    device: Annotated[str, typer.Option(help="cpu, cuda or cuda:N.")] = "cpu",
    threads: Annotated[int, typer.Option(help="Threads; encbench run uses one per cell.")] = 1,
    points: Annotated[int, typer.Option(min=1, help="Points per batch.")] = 1024,
    ntk_points: Annotated[int, typer.Option(min=1, help="Points for the NTK.")] = 128,
    width: Annotated[int, typer.Option(min=1, help="Units per hidden layer (of two).")] = 64,
    max_time: Annotated[
        float, typer.Option(min=0.01, help="Seconds for which each benchmark is repeated.")
    ] = 0.5,
) -> None:
    """Time encodings and write a table.

    Times the forward pass, backward pass, training step and NTK of a small network with each
    encoding. The Markdown table lists median times, parameters and accuracies. Saved timings are
    pytest-benchmark's: `pytest --benchmark-compare` and `pytest-benchmark compare` read them.

    \b
    Examples:
      encbench bench -e identity -e ffe -e 'mpe:resolutions=[64]'
      encbench bench -e mpe --save before
      encbench bench -e mpe --compare before --output table.md
    """
    _require_pytest()
    check_writable(output)
    selectors = encoding or []
    registry = default_registry()
    for text in selectors:
        registry.choose("encoding", text)
    if save is not None and not re.fullmatch(r"[\w.-]+", save):
        raise UsageError(f"--save {save!r}: expected letters, digits, '_', '-' and '.' alone")
    before = read_timings(_saved(compare)) if compare is not None else {}
    # these import torch, which `encbench bench --help` does not need
    from encbench.device import resolve_device
    from encbench.runs.interface import check_threads
    from encbench.testing.benchmark_case import conditions

    check_threads(threads)
    device = resolve_device(device)
    settings = {"points": points, "ntk_points": ntk_points, "width": width}
    if before and not force:
        # checked before minutes of timing, and again below with the conditions that pytest recorded
        saved = next(iter(before.values()))
        _require_equal(saved.conditions, conditions(device, threads), compare)
        _require_equal({key: saved.settings.get(key) for key in settings}, settings, compare)
    flags = [f"--encbench-encoding={text}" for text in selectors]
    flags += [f"--encbench-device={device}", f"--encbench-points={points}"]
    flags += [f"--encbench-ntk-points={ntk_points}", f"--encbench-width={width}"]
    flags += [f"--benchmark-max-time={max_time}", *([f"--benchmark-save={save}"] if save else [])]
    code, found = _run(flags, threads)
    if not found:
        raise StoreError("every benchmark failed; pytest's messages are above")
    if before and not force:
        for key in before.keys() & found.keys():
            _require_equal(before[key].conditions, found[key].conditions, compare)
            _require_equal(before[key].settings, found[key].settings, compare)
    table = timing_table(found, before, compare)
    if output is None:
        typer.echo(table, nl=False)
    else:
        with writes_to(output, "choose another --output"):
            output.write_text(table, encoding="utf-8")
        typer.echo(f"wrote {output}", err=True)
    if code:
        raise typer.Exit(1)


def read_timings(file: Path) -> Timings:
    """Read the benchmarks of encodings from a file of pytest-benchmark.

    Raises:
        StoreError: the file cannot be read, or holds no benchmark of an encoding.
    """
    try:
        stored = json.loads(file.read_text(encoding="utf-8"))
        timings = [
            Timing(**benchmark["extra_info"], **benchmark["stats"])
            for benchmark in stored["benchmarks"]
            if "accuracy" in benchmark["extra_info"]
        ]
    except OSError as error:
        raise StoreError(f"{file} cannot be read: {error.strerror}") from None
    except (ValueError, KeyError, TypeError) as error:
        raise StoreError(
            f"{file} was not written by `encbench bench --save`: {type(error).__name__}: {error}"
        ) from None
    if not timings:
        raise StoreError(
            f"{file} holds no benchmark of an encoding; `encbench bench --save NAME` writes some"
        )
    return {(timing.encoding, timing.operation): timing for timing in timings}


def timing_table(found: Timings, before: Timings, name: str | None) -> str:
    """Return a Markdown table: a row per encoding; times, then accuracies, per operation.

    Each time is followed by its ratio to the timing in ``before``, if any, which ``name`` names.
    """
    encodings = dict.fromkeys(encoding for encoding, _ in found)
    operations = [operation for operation in COLUMNS if any(op == operation for _, op in found)]
    rows = []
    for encoding in encodings:
        timings = [found.get((encoding, operation)) for operation in operations]
        counts = next(timing.parameters for timing in timings if timing)
        row = [encoding.replace("|", "\\|"), f"{counts['encoding']:,} + {counts['mlp']:,}"]
        for operation, timing in zip(operations, timings, strict=True):
            earlier = before.get((encoding, operation))
            ratio = f" {timing.ratio_to(earlier)}" if timing and earlier else ""
            row.append(f"{timing.time()}{ratio}" if timing else "failed")
        rows.append([*row, *(timing.accuracy_text() if timing else "–" for timing in timings)])
    times, accuracies = zip(*(COLUMNS[operation] for operation in operations), strict=True)
    head = ["encoding", "parameters", *times, *accuracies]
    align = ["left", *["right"] * (len(head) - 1)]
    lines = tabulate(rows, head, tablefmt="pipe", colalign=align, disable_numparse=True)
    any_one = next(iter(found.values()))
    where, settings = any_one.conditions, any_one.settings
    meanings = {op: timing.accuracy_means for (_, op), timing in found.items()}
    notes = [
        f"Median times. Parameters: encoding + MLP of {settings['depth']} × {settings['width']} "
        f"units; {settings['points']} points, NTK of {settings['ntk_points']} in float64.",
        f"{where['device']} of {where['machine']} ({where['processor']}), "
        f"{plural(where['threads'], 'thread')}.",
        "; ".join(f"{COLUMNS[op][1]}: {meanings[op]}" for op in operations) + ".",
    ]
    if before:
        notes.append(
            f"×: ratio to {name}; ≈: the quartiles overlap, so it may be noise; ?: fewer than "
            f"{FEW_ROUNDS} rounds, which can be noise, too (--max-time gives more)."
        )
    return f"{lines}\n\n" + "  \n".join(notes) + "\n"


def _require_pytest() -> None:
    missing = [name for name in ("pytest", "pytest_benchmark") if find_spec(name) is None]
    if missing:
        names = " and ".join(name.replace("_", "-") for name in missing)
        raise UsageError(
            f"encbench bench needs {names}; install with: pip install 'encbench[bench]'"
        )


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


def _run(flags: list[str], threads: int) -> tuple[int, Timings]:
    here = Path(__file__).parents[1] / "testing"
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    environment |= dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS"), str(threads))
    with tempfile.TemporaryDirectory(prefix="encbench-bench-") as folder:
        file = Path(folder) / "timings.json"
        command = [sys.executable, "-m", "pytest", str(here / "benchmarks.py"), "-q"]
        command += ["-c", str(here / "benchmarks.ini"), "--rootdir", str(here)]
        command += ["-p", "no:cacheprovider", "--benchmark-quiet", "--no-header"]
        command += [f"--benchmark-json={file}", *flags]
        # pytest's progress and errors go to standard error; standard output is for the table
        done = subprocess.run(command, stdout=sys.stderr.fileno(), env=environment, check=False)
        empty = not file.exists() or not file.stat().st_size
        return done.returncode, {} if empty else read_timings(file)


def _require_equal(before: dict[str, Any], now: dict[str, Any], name: str | None) -> None:
    differences = [
        f"{key} {before.get(key)!r}, now {now.get(key)!r}"
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
    ]
    if differences:
        raise UsageError(
            f"{name!r} was timed under other conditions: {'; '.join(differences)}. Times of "
            "different machines or settings do not compare encodings; --force compares anyway"
        )
