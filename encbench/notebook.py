"""encbench from Python and notebooks: run encodings on tasks, and look at the results.

results = encbench.run(["ffe", "mpe"], ["image:image=photo.jpg,side=96"], out="results/mine")
results.frame()          # a row per cell
results.plot_spectra()
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import pandas as pd
from rich.console import Console

from encbench.cli.progress import RunProgress
from encbench.errors import StoreError, UsageError, did_you_mean, plural
from encbench.plugins.registry import Registry, default_registry
from encbench.results.palette import colour_order, colours
from encbench.results.records import StoredRecord
from encbench.results.store import load_records
from encbench.results.tabular import (
    CURVE_COLUMNS,
    SPECTRUM_COLUMNS,
    Chunk,
    ExportColumn,
    cell_columns,
    cell_row,
    curve_chunks,
    spectrum_chunks,
)
from encbench.runs.runner import run_suite
from encbench.suite.file import Suite, SuiteEntry, override
from encbench.suite.labels import told_apart, unique_labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

Entry = str | Mapping[str, Any] | SuiteEntry
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "network": {"width": 128},
    "training": {"steps": 500, "optimizer": "adam"},
    "ntk": {"points": 512},
    "budget": {"parameters": "300k"},
}


class Results:
    """The records of a results folder as tables; a notebook displays a table of the cells.

    Attributes:
        directory: the results folder.
        records: one record per cell, in the order of the request, or sorted by key if loaded.
    """

    def __init__(self, directory: Path, records: Sequence[StoredRecord]) -> None:
        self.directory = directory
        self.records = list(records)

    def __len__(self) -> int:
        return len(self.records)

    def __iter__(self) -> Iterator[StoredRecord]:
        return iter(self.records)

    def frame(self) -> pd.DataFrame:
        """A row per cell of any status, with the columns of ``encbench export``, such as
        "encoding.label", "metric.psnr" [dB], "duration.training_s" [s]; see docs/results.md.
        """
        rows = [cell_row(stored.record) for stored in self.records]
        columns = cell_columns(rows)
        return _frame(columns, [[[row.get(c.name) for row in rows] for c in columns]])

    def spectra(self) -> pd.DataFrame:
        """A row per eigenvalue: key, task, encoding, seed, when ("start", "middle", "end"), step,
        part ("kernel", or "mlp" for the MLP's part), index (from 1, the largest), eigenvalue,
        floor. Eigenvalues below their floor are rounding noise.

        Raises:
            StoreError: a record's arrays are damaged.
        """
        return _frame(SPECTRUM_COLUMNS, self._chunks(spectrum_chunks))

    def curves(self) -> pd.DataFrame:
        """A row per point of a curve: key, task, encoding, seed, curve ("loss", or the name of the
        metric followed during training), step, value.

        Raises:
            StoreError: a record's arrays are damaged.
        """
        return _frame(CURVE_COLUMNS, self._chunks(curve_chunks))

    def plot_spectra(
        self,
        when: Literal["start", "middle", "end"] = "end",
        *,
        task: str | None = None,
        ax: Axes | None = None,
    ) -> Axes:
        """Draw the eigenvalues of the kernel, largest first, on a log axis: a line per cell, a
        colour per encoding. Eigenvalues below their floor are left out.

        Args:
            when: the time in training.
            task: the label of the task to draw; required if there are several.
            ax: where to draw; default: new axes.

        Raises:
            UsageError: no such task or time, or several tasks and ``task`` is None.
            StoreError: no record of the task has a spectrum at that time.
        """
        import matplotlib.pyplot as plt  # importing it takes a second

        if when not in ("start", "middle", "end"):
            raise UsageError(f"when is {when!r}; expected 'start', 'middle' or 'end'")
        tasks = list(dict.fromkeys(stored.record.task_label for stored in self.records))
        task = tasks[0] if task is None and len(tasks) == 1 else task
        if task not in tasks:
            raise UsageError(f"task is {task!r}; expected one of {', '.join(tasks) or 'none'}")
        found = self.spectra()
        chosen = (found["when"] == when) & (found["part"] == "kernel") & (found["task"] == task)
        if not chosen.any():
            raise StoreError(
                f"no record of {self.directory} has a spectrum at the {when}; run with ntk points"
            )
        if ax is None:
            _, ax = plt.subplots(layout="constrained")
        drawn = found[chosen & (found["eigenvalue"] > found["floor"])]
        # the same order and colours as on the leaderboard of these records
        refs = {s.record.key: s.record.cell.encoding for s in self.records}
        names = unique_labels({ref.content: ref for ref in refs.values()})
        label_of = {key: names[ref.content] for key, ref in refs.items()}
        ended = {label_of[s.record.key] for s in self.records if s.record.status == "ok"}
        styles = colours(colour_order(set(label_of.values()), ended))
        for encoding, lines in drawn.groupby(drawn["key"].map(label_of), sort=False):
            colour = styles[str(encoding)][0]
            for place, (_, line) in enumerate(lines.groupby("key", sort=False)):
                label = None if place else encoding
                ax.plot(line["index"], line["eigenvalue"], color=colour, label=label)
        ax.set(yscale="log", xlabel="index", ylabel="eigenvalue", title=f"{task}, {when}")
        ax.legend()
        return ax

    def _chunks(self, chunks_of: Callable[[StoredRecord], Iterator[Chunk]]) -> Iterator[Chunk]:
        for stored in self.records:
            # a copy, because a record keeps its arrays in memory once they are read
            yield from chunks_of(stored.unread())

    def _table(self) -> pd.DataFrame:
        """The table that a notebook displays."""
        rows = []
        settings = told_apart({s.outline.cell_key: s.record.cell for s in self.records})
        for stored in self.records:
            record = stored.record
            row: dict[str, Any] = {
                "task": record.task_label,
                "encoding": record.encoding_label + settings[stored.outline.cell_key],
                "seed": record.cell.seed,
                "status": record.status,
            }
            for name, metric in record.metrics.items():
                row[f"{name} [{metric.unit}]" if metric.unit else name] = metric.value
            row["parameters"] = sum(record.parameters.values())
            row["training [s]"] = record.durations.get("training")
            rows.append(row)
        return pd.DataFrame(rows)

    def __repr__(self) -> str:
        table = self._table().to_string(index=False)
        return f"{plural(len(self), 'cell')} of {self.directory}\n{table}"

    def _repr_html_(self) -> str:
        return str(self._table().to_html(index=False, float_format="{:.4g}".format))


def run(
    encodings: Sequence[Entry] | None = None,
    tasks: Sequence[Entry] | None = None,
    *,
    suite: str | Suite | None = None,
    seeds: Iterable[int] | None = None,
    out: Path | str | None = None,
    network: Mapping[str, Any] | None = None,
    training: Mapping[str, Any] | None = None,
    ntk: Mapping[str, Any] | None = None,
    budget: Mapping[str, Any] | None = None,
    progress: bool = True,
    registry: Registry | None = None,
    **options: Any,
) -> Results:
    """Train and evaluate a network on each pair of encoding and task, like ``encbench run``.

    Cells that have a record in ``out`` are not run again.

    Args:
        encodings: such as "mpe" or "ffe:levels=8"; default: the suite's.
        tasks: such as "image:image=photo.jpg,side=96"; default: the suite's.
        suite: a packaged suite's name, a TOML file, or a ``Suite``, for all settings not given
            here; default: "quick".
        seeds: default: the suite's.
        out: results folder; default: results/NAME with the suite's name, or results/custom.
        network: settings such as {"width": 128}, as in a suite file.
        training: settings such as {"steps": 500, "optimizer": "adam"}.
        ntk: settings such as {"points": 512}; 0 points for no spectra.
        budget: settings such as {"parameters": "300k"}.
        progress: whether to show progress bars.
        registry: plug-ins to use; default: those of this environment.
        options: options of ``run_suite``: jobs, threads, device, limits, save_weights, report, …

    Raises:
        UsageError: a name, parameter or setting is wrong, or a script that calls this has no
            ``if __name__ == "__main__":``; nothing has been run.
        StoreError: the folder cannot be written, or is in use.
    """
    registry = registry or default_registry()
    known = [*inspect.signature(run).parameters, *inspect.signature(run_suite).parameters]
    for name in [name for name in options if name not in known or name == "directory"]:
        raise UsageError(f"encbench.run has no option {name!r}{did_you_mean(name, known)}")
    if seeds is not None and (not isinstance(seeds, Iterable) or not (seeds := list(seeds))):
        raise UsageError(f"seeds is {seeds!r}; expected whole numbers, such as [0, 1, 2]")
    given = {"network": network, "training": training, "ntk": ntk, "budget": budget}
    for section, values in given.items():
        if not isinstance(values, Mapping | None):
            raise UsageError(
                f"{section} is {values!r}; expected a dict, such as {EXAMPLES[section]}"
            )
    chosen = override(
        suite,
        {section: values or {} for section, values in given.items()},
        registry,
        encodings=_entries(encodings, "encodings"),
        tasks=_entries(tasks, "tasks"),
        seeds=seeds,
    )
    directory = Path("results") / chosen.name if out is None else Path(out)
    if not progress:
        done = run_suite(chosen, directory, registry=registry, **options)
        return Results(directory, done.records)
    with RunProgress(Console(stderr=True)) as bars:
        done = run_suite(chosen, directory, registry=registry, watcher=bars, **options)
    return Results(directory, done.records)


def load(directory: Path | str) -> Results:
    """The records of a results folder; warns of each damaged array, which is left out.

    Raises:
        StoreError: the folder does not exist or contains no record.
    """
    return Results(Path(directory), load_records(Path(directory), check_files=True))


def _entries(given: Sequence[Entry] | None, what: str) -> list[Any] | None:
    if given is None:
        return None
    if isinstance(given, str) or not isinstance(given, Sequence) or not given:
        raise UsageError(f"{what} is {given!r}; expected a list of names, such as ['mpe']")
    return [
        entry.model_dump(exclude_unset=True) if isinstance(entry, SuiteEntry) else entry
        for entry in given
    ]


def _frame(columns: Sequence[ExportColumn], chunks: Iterable[Chunk]) -> pd.DataFrame:
    parts = [
        pd.DataFrame({c.name: values for c, values in zip(columns, chunk, strict=True)})
        for chunk in chunks
    ]
    if not parts:
        return pd.DataFrame({column.name: [] for column in columns})
    return pd.concat(parts, ignore_index=True)
