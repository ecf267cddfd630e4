"""Records as rows of flat tables, written as CSV, or as Parquet if pyarrow is installed."""

from __future__ import annotations

import csv
import json
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, TextIO, Union, get_args, get_origin

import numpy as np
from pydantic import BaseModel

from encbench.errors import StoreError, UsageError, appearing
from encbench.results.kernel_summary import LinearizedTraining, SpectrumSummary
from encbench.results.provenance import Provenance
from encbench.results.records import ErrorInfo, LearningRate, Record, StoredRecord
from encbench.suite.config import NetworkConfig, NtkConfig, PluginRef, TrainingConfig

GROUP = 500_000
"""Minimum number of rows per row group of a Parquet file; one group is in memory at a time."""
Value = str | float | int | bool | None
Chunk = Sequence[Sequence[Value] | np.ndarray]
"""Some rows of a table, as columns of equal length."""
Kind = Literal["text", "integer", "number", "truth"]
WHEN = ("start", "middle", "end")
PHASES = ("setup", "training", "curve", "ntk", "evaluation")
_KINDS: dict[Any, Kind] = {str: "text", int: "integer", float: "number", bool: "truth"}


@dataclass(frozen=True)
class ExportColumn:
    """Name of a column, the kind of its values, and their unit."""

    name: str
    kind: Kind
    unit: str = ""

    @staticmethod
    def of(name: str, kind: Kind) -> ExportColumn:
        """Create a column whose unit is that at the end of its name, if any."""
        unit = next((u for end, u in (("_s", "s"), ("_bytes", "B")) if name.endswith(end)), "")
        return ExportColumn(name, kind, "s" if name.endswith(".seconds") else unit)


def _named(**kinds: Kind) -> tuple[ExportColumn, ...]:
    return tuple(ExportColumn(name, kind) for name, kind in kinds.items())


_IDENTITY = _named(key="text", task="text", encoding="text", seed="integer")
SPECTRUM_COLUMNS = _IDENTITY + _named(
    when="text", step="integer", part="text", index="integer", eigenvalue="number", floor="number"
)
"""Columns of ``spectrum_chunks``: part is "kernel" or "mlp"; index 1 is the largest eigenvalue."""

CURVE_COLUMNS = _IDENTITY + _named(curve="text", step="integer", value="number")
"""Columns of ``curve_chunks``: curve is "loss", the name of the metric followed during training,
or "predicted loss"."""
PREDICTED = "predicted loss"

BAND_COLUMNS = _IDENTITY + _named(
    step="integer", above="number", up_to="number", error="number", target="number"
)
"""Columns of ``band_chunks``: frequencies [cycles per unit], and energies as defined in
``encbench.training.bands``."""


def cell_row(record: Record) -> dict[str, Value]:
    """One record as a row, by column name; columns without a value may be missing.

    Fields of nested parts have dotted names. Dictionaries without fixed names (parameters of
    plug-ins, details of metrics) are JSON in one column.
    """
    row: dict[str, Value] = {
        **_fields(record, ""),
        **(_fields(record.error, "error.") if record.error else {}),
        **_fields(record.cell.encoding, "encoding."),
        "encoding.label": record.encoding_label,
        **_fields(record.cell.task, "task."),
        "task.label": record.task_label,
        "seed": record.cell.seed,
        "data_hash": record.cell.data_hash,
        **_fields(record.cell.network, "network."),
        **_fields(record.cell.training, "training."),
        **_fields(record.cell.ntk, "ntk."),
        **(_fields(record.learning_rate, "learning_rate.") if record.learning_rate else {}),
        **(_fields(record.linearized, "linearized.") if record.linearized else {}),
        **{f"parameters.{part}": count for part, count in record.parameters.items()},
        **{f"duration.{phase}_s": seconds for phase, seconds in record.durations.items()},
        **_fields(record.provenance, "provenance."),
    }
    for name in ("libraries", "plugins", "blas", "cuda"):
        versions: dict[str, str] = getattr(record.provenance, name)
        row |= {f"provenance.{name}.{key}": value for key, value in versions.items()}
    for name, metric in record.metrics.items():
        row[f"metric.{name}"] = metric.value
        row[f"metric.{name}.unit"] = metric.unit
        row[f"metric.{name}.direction"] = metric.direction
        row[f"metric.{name}.details"] = _json(metric.details)
    for method, values in record.baselines.items():
        row |= {f"baseline.{method}.{name}": value.value for name, value in values.items()}
    for spectrum in record.spectra:
        row |= _fields(spectrum, f"spectrum.{spectrum.when}.")
    return row


def cell_columns(rows: Sequence[dict[str, Value]]) -> list[ExportColumn]:
    """Columns of these rows: first those of every table, then those that only some rows have."""
    fixed = {column.name: column for column in fixed_columns()}
    seen = {name for row in rows for name in row}
    others = sorted(seen - fixed.keys(), key=_place)
    return [*fixed.values(), *(ExportColumn.of(name, _open_kind(name)) for name in others)]


def spectrum_chunks(stored: StoredRecord) -> Iterator[Chunk]:
    """Yield a row per eigenvalue of each spectrum of a record, one chunk per spectrum and part.

    Raises:
        StoreError: the record's arrays are damaged.
    """
    for spectrum in stored.record.spectra:
        for part, prefix, summary in (("kernel", "", spectrum), ("mlp", "mlp_", spectrum.mlp)):
            values = stored.arrays.get(f"spectrum_{prefix}{spectrum.when}")
            if values is None or summary is None:
                continue
            constant = (*_identity(stored.record), spectrum.when, spectrum.step, part)
            count = len(values)
            yield [
                *([value] * count for value in constant),
                np.arange(1, count + 1),
                values,
                [summary.floor] * count,
            ]


def curve_chunks(stored: StoredRecord) -> Iterator[Chunk]:
    """Yield a row per point of each curve of a record, one chunk per curve.

    Raises:
        StoreError: the record's arrays are damaged.
    """
    followed = (("loss", "loss"), ("curve", stored.record.curve), ("linearized_loss", PREDICTED))
    for array, name in followed:
        values, steps = (
            stored.arrays.get(array),
            stored.arrays.get(f"{array.removesuffix('_loss')}_step"),
        )
        if values is None or steps is None:
            continue
        constant = (*_identity(stored.record), name)
        yield [*([value] * len(values) for value in constant), steps.astype(np.int64), values]


def band_chunks(stored: StoredRecord) -> Iterator[Chunk]:
    """Yield a row per band of spatial frequency and step, one chunk per step.

    Raises:
        StoreError: the record's arrays are damaged.
    """
    found = stored.some_arrays("band_upper", "band_target", "band_step", "band_error")
    if len(found) < 4:
        return
    upper, target = found["band_upper"], found["band_target"]
    above = np.concatenate([[0.0], upper[:-1]])
    for step, error in zip(found["band_step"], found["band_error"], strict=True):
        constant = (*_identity(stored.record), int(step))
        yield [*([value] * len(upper) for value in constant), above, upper, error, target]


def _identity(record: Record) -> tuple[Value, ...]:
    return (record.key, record.task_label, record.encoding_label, record.cell.seed)


def _fields(part: BaseModel, prefix: str) -> dict[str, Value]:
    """Fields of a part of a record, by column name; dictionaries of parameters as JSON."""
    row: dict[str, Value] = {}
    for column in _columns_of(type(part), prefix):
        value: Any = part
        for name in column.name.removeprefix(prefix).split("."):
            value = getattr(value, name) if value is not None else None
        if column.kind == "text" and value is not None and not isinstance(value, str):
            # lr is a number or "auto"
            value = _json(value)
        row[column.name] = value
    return row


def _json(value: Any) -> str:
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


_LEFT_OUT = {
    Record: {"cell", "error", "network", "parameters", "learning_rate", "metrics", "spectra"}
    | {"baselines", "durations", "line_titles", "linearized", "provenance"},
    ErrorInfo: {"traceback"},
    SpectrumSummary: {"when", "split"},
    Provenance: {"libraries", "plugins", "blas", "cuda"},
}
"""Fields that are exported under other names, or not at all."""


@cache
def _columns_of(model: Any, prefix: str) -> tuple[ExportColumn, ...]:
    columns: list[ExportColumn] = []
    for name, field in model.__pydantic_fields__.items():
        if name in _LEFT_OUT.get(model, ()):
            continue
        kind = _plain(field.annotation)
        if hasattr(kind, "__pydantic_fields__"):
            columns += _columns_of(kind, f"{prefix}{name}.")
        else:
            columns.append(ExportColumn.of(prefix + name, _KINDS.get(kind, "text")))
    return tuple(columns)


def _plain(annotation: Any) -> Any:
    """The type without ``None`` and Annotated's metadata; None for a union of several types."""
    if get_origin(annotation) in (Union, types.UnionType):
        members = [_plain(m) for m in get_args(annotation) if m is not type(None)]
        return members[0] if len(members) == 1 else None
    return get_args(annotation)[0] if hasattr(annotation, "__metadata__") else annotation


def fixed_columns() -> list[ExportColumn]:
    """Columns that every table of cells has, in order."""
    own = _columns_of(Record, "")
    leading = [column for column in own if column.name in ("key", "status", "phase")]
    parts = [
        *_columns_of(ErrorInfo, "error."),
        *_columns_of(PluginRef, "task."),
        *_columns_of(PluginRef, "encoding."),
        ExportColumn("seed", "integer"),
        ExportColumn("data_hash", "text"),
        *_columns_of(NetworkConfig, "network."),
        *_columns_of(TrainingConfig, "training."),
        *_columns_of(NtkConfig, "ntk."),
        *(column for column in own if column not in leading),
        ExportColumn("parameters.mlp", "integer"),
        ExportColumn("parameters.encoding", "integer"),
        *_columns_of(LearningRate, "learning_rate."),
        *_columns_of(LinearizedTraining, "linearized."),
        *(ExportColumn.of(f"duration.{phase}_s", "number") for phase in PHASES),
        *(c for when in WHEN for c in _columns_of(SpectrumSummary, f"spectrum.{when}.")),
        *_columns_of(Provenance, "provenance."),
    ]
    return [*leading, *parts]


def _open_kind(name: str) -> Kind:
    if name.startswith("parameters."):
        return "integer"
    described = name.startswith("metric.") and name.endswith((".unit", ".direction", ".details"))
    return "text" if described or name.startswith("provenance.") else "number"


def _place(name: str) -> tuple[bool, str]:
    """Sort key: by name, but the provenance last."""
    return (name.startswith("provenance."), name)


def check_format(path: Path) -> None:
    """Refuse a file of an unsupported format, before anything is read.

    Raises:
        UsageError: neither CSV nor Parquet, or Parquet without pyarrow.
    """
    suffix = path.suffix.lower()
    if suffix not in _WRITERS:
        raise UsageError(f"{path}: expected a name that ends in {' or '.join(_WRITERS)}")
    if suffix == ".parquet" and find_spec("pyarrow") is None:
        raise UsageError(
            f"{path}: Parquet needs pyarrow; python -m pip install 'encbench[parquet]', "
            "or give a name that ends in .csv"
        )


def write_table(columns: Sequence[ExportColumn], chunks: Iterable[Chunk], path: Path) -> None:
    """Write rows to a file, which appears only when it is complete; None is a missing value.

    Raises:
        UsageError: see ``check_format``.
        StoreError: the file cannot be written; an existing file is kept.
    """
    check_format(path)
    with appearing(path) as temporary:
        _WRITERS[path.suffix.lower()](columns, chunks, temporary)


def write_csv(columns: Sequence[ExportColumn], chunks: Iterable[Chunk], file: TextIO) -> None:
    """Write CSV (RFC 4180) with a header: numbers to the last digit, missing values empty.

    Infinity and NaN are ``inf`` and ``nan``, booleans ``true`` and ``false``.
    """
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(column.name for column in columns)
    for chunk in chunks:
        for row in zip(*map(_values, chunk), strict=True):
            writer.writerow(map(_text, row))


def _values(column: Sequence[Value] | np.ndarray) -> Sequence[Value]:
    return column.tolist() if isinstance(column, np.ndarray) else column


def _text(value: Value) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else str(value)


def _write_csv_file(columns: Sequence[ExportColumn], chunks: Iterable[Chunk], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        write_csv(columns, chunks, file)


def _write_parquet(columns: Sequence[ExportColumn], chunks: Iterable[Chunk], path: Path) -> None:
    # an optional extra, and slow to import
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds: dict[str, Any] = {
        "text": pa.string(),
        "integer": pa.int64(),
        "number": pa.float64(),
        "truth": pa.bool_(),
    }
    schema = pa.schema(
        [
            pa.field(c.name, kinds[c.kind], metadata={"unit": c.unit} if c.unit else None)
            for c in columns
        ]
    )
    with pq.ParquetWriter(path, schema) as writer:
        waiting: list[Any] = []
        for chunk in chunks:
            try:
                arrays = [pa.array(c, field.type) for c, field in zip(chunk, schema, strict=True)]
            except OverflowError:
                raise StoreError(
                    "a whole number, such as a seed, does not fit into 64 bits, which is what "
                    "Parquet has; CSV has no such limit"
                ) from None
            waiting.append(pa.Table.from_arrays(arrays, schema=schema))
            if sum(table.num_rows for table in waiting) >= GROUP:
                writer.write_table(pa.concat_tables(waiting))
                waiting = []
        if waiting:
            writer.write_table(pa.concat_tables(waiting))


_WRITERS: dict[str, Callable[[Sequence[ExportColumn], Iterable[Chunk], Path], None]] = {
    ".csv": _write_csv_file,
    ".parquet": _write_parquet,
}
