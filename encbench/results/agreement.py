"""Compare a cell that was run again with its record, and find what changed in its environment.

On the same machine with the same libraries and number of threads, results are expected to be
equal to the last digit. Elsewhere sums are computed in another order, and training amplifies the
difference in the last digit.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from encbench.contracts.metric import MetricValue
from encbench.results.provenance import Provenance
from encbench.results.record_folder import UNREADABLE
from encbench.results.records import CellResult, Record, StoredRecord, damaged

NEWER_ARRAYS = ("band_", "energy_", "levels_", "linearized_")
"""Prefixes of the names of arrays that records of earlier versions do not have."""


@dataclass(frozen=True)
class Difference:
    """A number, curve, spectrum or picture that differs from the record."""

    name: str
    """ "metric.psnr", "curve.loss", "spectrum.end", "picture.prediction", "status"."""
    then: str
    now: str
    """Both values; for an array, the elements with the largest relative difference."""
    absolute: float
    relative: float
    """Relative to the larger of the two values for numbers and curves, λ_max for spectra, 255 for
    pictures, and the largest value for other arrays; infinite if they cannot be compared."""


@dataclass(frozen=True)
class EnvironmentChange:
    """A property of the environment that was different when the record was made."""

    name: str
    then: str
    now: str


@dataclass
class Agreement:
    """Result of comparing a cell that was run again with its record."""

    differences: list[Difference] = field(default_factory=list)
    environment: list[EnvironmentChange] = field(default_factory=list)
    compared: int = 0
    """Number of values, curves, spectra and pictures that were compared."""
    left_out: list[str] = field(default_factory=list)
    """"arrays" or "pictures" if the record has none, so that they are not compared."""

    @property
    def worst(self) -> Difference | None:
        """The difference with the largest relative size; None if there are no differences."""
        return max(self.differences, key=lambda d: d.relative, default=None)

    def equal(self, tolerance: float) -> bool:
        """Whether all relative differences are at most ``tolerance``; 0 means exactly equal."""
        return self.worst is None or self.worst.relative <= tolerance


def agreement(then: StoredRecord, now: CellResult) -> Agreement:
    """Compare a result with the record of the same cell.

    Times, memory and the worker that ran it are not results and are not compared.

    Raises:
        StoreError: the record's arrays or pictures are damaged.
    """
    found = Agreement(environment=environment_changes(then.record, now.record))
    if then.record.status == "ok":
        # `encbench merge --without` leaves out all files of a kind
        pictures = any(name.endswith(".png") for name in then.files)
        missing = {
            "arrays": now.arrays and not then.arrays,
            "pictures": now.pictures and not pictures,
        }
        found.left_out = [name for name, is_missing in missing.items() if is_missing]
    for difference in _differences(then, now, found.left_out):
        found.compared += 1
        if difference is not None:
            found.differences.append(difference)
    return found


def environment_changes(then: Record, now: Record) -> list[EnvironmentChange]:
    """Properties in the first record's environment that are different in the second's."""
    before, after = _described(then), _described(now)
    # a library that was missing then cannot have mattered; one that is missing now may
    return [
        EnvironmentChange(name, value, after.get(name, "not here"))
        for name, value in before.items()
        if after.get(name, "not here") != value
    ]


def _described(record: Record) -> dict[str, str]:
    source: Provenance = record.provenance
    cell = record.cell
    values: dict[str, str | None] = {
        "Python": source.python,
        **{f"version of {name}": version for name, version in source.libraries.items()},
        "version of encbench": source.encbench,
        **{f"version of {name}": version for name, version in source.plugins.items()},
        f"version of {cell.encoding.distribution}": cell.encoding.version,
        f"version of {cell.task.distribution}": cell.task.version,
        "seed of the weights": "depends on the plug-in's version"
        if cell.weights_version is not None
        else "does not depend on versions",
        "CPU capability": source.cpu_capability,
        **{f"BLAS of {name}": version for name, version in source.blas.items()},
        **{f"version of {name}": version for name, version in source.cuda.items()},
        "matmul precision": source.matmul_precision,
        "threads": str(source.threads),
        "device": source.device,
        "processor": source.processor,
        "operating system": source.os,
        "machine": source.machine,
        "commit of the working directory": source.git_commit,
    }
    return {name: value for name, value in values.items() if value is not None}


def _differences(
    then: StoredRecord, now: CellResult, left_out: Collection[str]
) -> Iterator[Difference | None]:
    before, after = then.record, now.record
    yield _equality("status", before.status, after.status)
    yield _equality("phase", before.phase, after.phase)
    if before.error is not None and after.error is not None:
        yield _equality("error", before.error.type, after.error.type)
        yield _equality("error.step", before.error.step, after.error.step)
    for name in ("in_dim", "out_dim", "network", "activation", "parameters", "steps", "curve"):
        yield _equality(name, getattr(before, name), getattr(after, name))
    if before.learning_rate is not None and after.learning_rate is not None:
        yield _number("lr", before.learning_rate.value, after.learning_rate.value)
        yield _number("lr_crit", before.learning_rate.critical, after.learning_rate.critical)
    yield _number(f"best.{before.curve}", before.best, after.best)
    yield from _metrics(before, after)
    if "arrays" not in left_out:
        yield from _arrays(then.arrays, now.arrays, _floors(before), _floors(after))
    if "pictures" not in left_out:
        yield from _pictures(then, now.pictures)


def _equality(name: str, then: object, now: object) -> Difference | None:
    if then == now:
        return None
    return Difference(name, str(then), str(now), math.inf, math.inf)


def _missing(then: bool, now: bool) -> tuple[str, str]:
    return ("present" if then else "missing", "present" if now else "missing")


def _number(name: str, then: float | None, now: float | None) -> Difference | None:
    if then is None or now is None:
        return _equality(name, then, now)
    return _array(name, np.array([then]), np.array([now]))


def _metrics(before: Record, after: Record) -> Iterator[Difference | None]:
    then, now = _named_metrics(before), _named_metrics(after)
    # metrics that only the new record has are not compared
    for name, old in then.items():
        new = now.get(name)
        if new is None:
            yield _equality(name, *_missing(True, False))
            continue
        yield _number(name, old.value, new.value)


def _named_metrics(record: Record) -> dict[str, MetricValue]:
    found = {f"metric.{name}": value for name, value in record.metrics.items()}
    for method, values in record.baselines.items():
        found |= {f"baseline.{method}.{name}": value for name, value in values.items()}
    return found


def _floors(record: Record) -> dict[str, float]:
    """Floor below which eigenvalues are rounding noise, by name of their array."""
    floors = {}
    for spectrum in record.spectra:
        for name, part in (("", spectrum), ("mlp_", spectrum.mlp)):
            if part is not None:
                floors[f"spectrum_{name}{spectrum.when}"] = part.floor
    return floors


def _arrays(
    before: Mapping[str, np.ndarray],
    after: Mapping[str, np.ndarray],
    floors: Mapping[str, float],
    floors_now: Mapping[str, float],
) -> Iterator[Difference | None]:
    for name in {**before, **after}:
        title = _title(name)
        if name not in before and name.startswith(NEWER_ARRAYS):
            continue
        if name not in before or name not in after:
            yield _equality(title, *_missing(name in before, name in after))
            continue
        old, new = before[name], after[name]
        if name in floors and old.size:
            floor = max(floors[name], floors_now.get(name, 0.0))
            # eigenvalues below the floor cannot be told from zero and are not compared
            old, new = (np.where(values > floor, values, floor) for values in (old, new))
            yield _array(title, old, new, scale=float(np.max(old)))
        elif name in ("loss", "curve"):
            yield _array(title, old, new, steps=before.get(f"{name}_step"))
        else:
            yield _array(title, old, new, scale=_largest(old))


def _title(array: str) -> str:
    if array.startswith("spectrum_"):
        return array.replace("_", ".")
    return f"curve.{array}" if array.partition("_")[0] in ("loss", "curve") else f"array.{array}"


def _largest(values: np.ndarray) -> float | None:
    finite = np.abs(np.asarray(values, np.float64))
    finite = finite[np.isfinite(finite)]
    return float(finite.max()) if finite.size and finite.max() > 0 else None


def _pictures(then: StoredRecord, now: Mapping[str, np.ndarray]) -> Iterator[Difference | None]:
    names = {name.removesuffix(".png") for name in then.files if name.endswith(".png")}
    for name in sorted(names | now.keys()):
        path = then.picture(name)
        if path is None or name not in now:
            yield _equality(f"picture.{name}", *_missing(path is not None, name in now))
            continue
        try:
            with Image.open(path) as picture:
                pixels = np.asarray(picture)
        except (OSError, *UNREADABLE) as error:
            raise damaged(path) from error
        yield _array(f"picture.{name}", pixels, now[name], scale=255.0)


def _array(
    name: str,
    then: np.ndarray,
    now: np.ndarray,
    *,
    scale: float | None = None,
    steps: np.ndarray | None = None,
) -> Difference | None:
    """Largest difference of two arrays, relative to ``scale`` or, if None, each pair's larger."""
    if then.shape != now.shape:
        return _equality(name, f"shape {then.shape}", f"shape {now.shape}")
    old, new = (np.asarray(values, np.float64).ravel() for values in (then, now))
    same = (old == new) | (np.isnan(old) & np.isnan(new))
    if same.all():
        return None
    with np.errstate(invalid="ignore"):
        size = np.where(same, 0.0, np.abs(old - new))
        size = np.where(np.isnan(size), np.inf, size)
        larger = np.maximum(np.abs(old), np.abs(new)) if scale is None else scale
        relative = np.where(same, 0.0, size / larger)
    relative = np.where(np.isnan(relative), np.inf, relative)
    at = int(relative.argmax())
    where = f" at step {int(steps[at])}" if steps is not None and len(steps) > at else ""
    return Difference(
        name + where, f"{old[at]:.10g}", f"{new[at]:.10g}", float(size[at]), float(relative[at])
    )
