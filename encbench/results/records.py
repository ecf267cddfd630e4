"""The results of a run: one record per cell, and the folder with all records.

    DIRECTORY/
        run.json                         the suites as they were requested
        index.sqlite                     a cache of all record.json files
        records/ab/<key>/manifest.json   size and SHA-256 of each of the other files
        records/ab/<key>/record.json     all numbers and texts
        records/ab/<key>/arrays.npz      curves and spectra
        records/ab/<key>/*.png           pictures
        records/ab/<key>/weights.safetensors  the trained network, if the run kept it

"ab" stands for the first two characters of the key; earlier versions of encbench wrote
``records/<key>``. A record is put in place by one rename, so a reader never sees half of one.
"""

from __future__ import annotations

import logging
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self
from zipfile import BadZipFile

import numpy as np
from pydantic import (
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from encbench.contracts.metric import MetricValue
from encbench.contracts.outcome import NUMBERS
from encbench.errors import StoreError
from encbench.results.kernel_summary import LinearizedTraining, SpectrumSummary
from encbench.results.provenance import Data, Provenance
from encbench.suite.config import CellConfig, cell_key

logger = logging.getLogger("encbench")
SCHEMA_VERSION = 3
MOST_ARRAY_BYTES = 1 << 33
"""Maximum unpacked size of a record's arrays together, 8 GiB: few bytes can unpack to many."""
Status = Literal["ok", "failed", "diverged", "out_of_memory", "timeout", "interrupted"]


class ErrorInfo(Data):
    """Why a cell is not "ok"."""

    type: str
    message: str
    traceback: str = ""
    step: int | None = None
    """Step at which training diverged, counted from 1."""


class LearningRate(Data):
    """The learning rate used, beside the critical one of the network at initialization."""

    value: float
    critical: float | None = None
    """lr_crit: full-batch gradient descent on the linearized model is stable below it, with the
    encoding's learning rate ``encoding_lr_factor`` times as high. None if it is not known for the
    loss."""
    rule: Literal["given", "auto"]
    halvings: int = 0
    """Number of times the automatic rate was halved because training diverged with it."""


class Record(Data):
    """All numbers and texts about one finished cell."""

    schema_version: int = SCHEMA_VERSION
    key: str
    """Name of the record's folder: ``cell_key(cell)``. In records up to schema version 2, a hash
    that includes the versions of the plug-ins."""
    status: Status
    phase: str | None = None
    """Phase in which a cell that is not "ok" stopped."""
    error: ErrorInfo | None = None
    cell: CellConfig
    in_dim: int | None = None
    out_dim: int | None = None
    network: dict[str, int] = Field(default_factory=dict)
    """Resolved width and depth."""
    activation: str | None = None
    """Activation of the hidden layers, "auto" resolved; None if the network was not built."""
    parameters: dict[str, int] = Field(default_factory=dict)
    """Number of parameters: "mlp" and "encoding"."""
    learning_rate: LearningRate | None = None
    steps: int = 0
    """Number of optimizer steps done."""
    epochs: float = 0.0
    training_points: int | None = None
    """Number of points trained on; an epoch with the same points as the one before is not added."""
    batch_size: int | None = None
    """Number of points of a step, which is that of an epoch if the cell's batch size is larger;
    None if training did not begin, and in records made before this field existed."""
    step_method: str | None = None
    """How a step was computed: "layerwise", or "autograd" and the reason."""
    splittable: bool = False
    """Whether the task has a parameter "split", which selects the points held out. The cell need
    not contain its default."""
    own_loss: bool = False
    """Whether training used a loss of the task's own, which need not compare the network's outputs
    with values at the points."""
    curve: str = "psnr"
    """Metric of the quality curve in the arrays."""
    curve_points: int | None = None
    """Number of points that it was computed from; None if the task does not state it."""
    curve_seconds: tuple[float, ...] = ()
    """Training time until each point of the curve [s], to the millisecond."""
    best: float | None = None
    best_step: int | None = None
    """Step of ``best``, the best value on that curve."""
    metrics: dict[str, MetricValue] = Field(default_factory=dict)
    """Metrics at the end of training, by name."""
    baselines: dict[str, dict[str, MetricValue]] = Field(default_factory=dict)
    """Metrics of methods without a network on the same training points, by method."""
    line_titles: dict[str, tuple[str, str]] = Field(default_factory=dict)
    """Titles, with units, of x and of the values in the arrays ``line.NAME``, by NAME."""
    spectra: list[SpectrumSummary] = Field(default_factory=list)
    linearized: LinearizedTraining | None = None
    """None without spectra, and in records made before this field existed."""
    durations: dict[str, float] = Field(default_factory=dict)
    """Time by phase [s], without overlaps: "setup"; "training", only the optimizer's steps and
    their data; "curve", the metric during training; "ntk"; "evaluation"."""
    peak_memory_bytes: int | None = None
    """Peak over all phases, including spectra: on a CPU the resident memory of the whole process,
    with Python and torch (some 300 MiB); on a GPU the memory allocated to tensors. None if the
    cell ran on a CPU in the run's own process (``-j 1``), whose memory has much else."""
    lost_workers: tuple[str, ...] = ()
    """Name and reason of each worker that died while it ran this cell, before the one that
    finished it."""
    provenance: Provenance

    @model_validator(mode="after")
    def _own_loss_in_words(self) -> Self:
        """Set ``own_loss`` in older records, which state it only in ``step_method``."""
        if self.step_method == "autograd: the task has a loss of its own":
            self.own_loss = True
        return self

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit these fields if they are empty, as in files written before they existed."""
        later = ("baselines", "batch_size", "line_titles", "linearized", "own_loss", "splittable")
        return {k: v for k, v in handler(self).items() if v or k not in later}

    @property
    def encoding_label(self) -> str:
        """The encoding with its requested parameters, as a user would write it."""
        return self.cell.encoding.shown

    @property
    def task_label(self) -> str:
        return self.cell.task.shown


class Outline(NamedTuple):
    """The values that planning needs from a record; the index has a column for them."""

    key: str
    """Key of the record."""
    cell_key: str
    """``cell_key`` of its cell."""
    status: Status
    versions: tuple[str, ...]
    """``CellConfig.versions`` of its cell."""
    started: str
    """UTC, ISO 8601."""

    @classmethod
    def of(cls, record: Record) -> Self:
        cell, started = record.cell, record.provenance.started
        return cls(record.key, cell_key(cell), record.status, cell.versions, started)


@dataclass(frozen=True, slots=True)
class FileEntry:
    """Entry of one file in a record's manifest."""

    size: int
    """Size [bytes]."""
    sha256: str | None
    """Hexadecimal; None in records up to schema version 2."""


def damaged(file: Path) -> StoreError:
    """Return the error for a file of a record that has changed since it was written."""
    return StoreError(
        f"{file} is damaged; remove its folder and repeat the run that made it to make it again"
    )


def warn_left_out(file: Path) -> None:
    """Warn of a damaged file of a record, without which a reader goes on."""
    logger.warning(
        "leaving out %s, which is damaged; to make it again, remove its folder and "
        "repeat the run that made it",
        file,
    )


class StoredRecord:
    """A record on disk: its numbers, and its arrays and pictures on demand.

    Arrays (all optional, float64 unless said):
        ``loss_step``, ``loss``: training loss, mean over the steps of an interval ending there.
        ``curve_step``, ``curve``: the metric ``record.curve`` during training.
        ``band_upper``, ``band_target``, ``band_step``, ``band_error``: the error's energy by band
        of spatial frequency; (B,) upper ends of the bands [cycles per unit], (B,) the target's
        energy, (T,) steps, (T, B) the error's energy, as ``encbench.training.bands`` defines it.
        ``spectrum_start``, ``spectrum_middle``, ``spectrum_end``: eigenvalues, descending.
        ``spectrum_mlp_start``, …: eigenvalues of the MLP's part of the kernel alone.
        ``energy_start``, …: (K, 4) k, and the shares of the target's, the centred target's and the
        residual's energy in the leading k eigenvectors; NaN below the floor.
        ``levels_start``, …: (R, parts) v_iᵀ K_l v_i / λ_i for the R eigenvalues above the floor
        and the parts of ``SpectrumSummary.split``, float32.
        ``linearized_step``, ``linearized_loss``: loss predicted from the kernel at the start.
        ``line.NAME``: (N, 1 + 2·O) x, O predictions, O true values of a function of one variable.
    Reading them raises StoreError if the file is damaged, or leaves all of them out with a warning
    if ``leaves_out`` is set.
    Pictures: ``target``, ``prediction``, ``error`` for images; tasks may add others.

    Args:
        record: the numbers, or a function that reads them when first needed.
        path: its folder.
        files: entries of the files beside record.json, by name.
        outline: the record's outline, if known.
        damaged: names of further files in the folder, which are damaged.
    """

    leaves_out = False
    """Whether arrays that cannot be read although they are as written are left out."""

    def __init__(
        self,
        record: Record | Callable[[], Record],
        path: Path | str,
        files: Mapping[str, FileEntry] | None = None,
        outline: Outline | None = None,
        damaged: Sequence[str] = (),
    ) -> None:
        self._reader: Callable[[], Record] | None = None
        if isinstance(record, Record):
            self.record = record
        else:
            self._reader = record
        self._place = str(path)  # a Path would be several more objects per record
        self.files = files or {}
        self.damaged = damaged
        self._outline = outline

    # a page reads this millions of times: cached, since a property would call a function each time
    @cached_property
    def record(self) -> Record:
        """The numbers; StoreError if they must be read from disk and are gone."""
        assert self._reader is not None
        return self._reader()

    @property
    def is_read(self) -> bool:
        """Whether the numbers are in memory; otherwise they are read on demand."""
        return "record" in self.__dict__

    def forget(self) -> None:
        """Drop the numbers from memory if they can be read again on demand."""
        if self._reader is not None:
            self.__dict__.pop("record", None)

    @property
    def outline(self) -> Outline:
        if self._outline is None:
            self._outline = Outline.of(self.record)
        return self._outline

    @property
    def path(self) -> Path:
        return Path(self._place)

    def unread(self, record: Record | None = None) -> StoredRecord:
        """Copy without arrays in memory; with other numbers if ``record`` is given."""
        copy = StoredRecord(record or self.record, self._place, self.files, damaged=self.damaged)
        copy.leaves_out = self.leaves_out
        return copy

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        return self._read(())

    def some_arrays(self, *names: str) -> dict[str, np.ndarray]:
        """The arrays of these names that exist; others are neither read nor kept in memory."""
        if "arrays" in self.__dict__:
            return {name: self.arrays[name] for name in names if name in self.arrays}
        return self._read(names)

    def _read(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Read the arrays of these names, or all arrays if no name is given."""
        file = self.path / "arrays.npz"
        if not self.has(file.name):
            return {}
        try:
            with np.load(file, allow_pickle=False) as stored:
                if sum(part.file_size for part in stored.zip.infolist()) > MOST_ARRAY_BYTES:
                    raise ValueError("the arrays are too large for a record")
                wanted = [name for name in names or stored.files if name in stored.files]
                found = {name: stored[name] for name in wanted}
                if wrong := [name for name in wanted if found[name].dtype.kind not in NUMBERS]:
                    raise ValueError(f"the array {wrong[0]} is not of numbers")
                return found
        except (OSError, ValueError, EOFError, KeyError, BadZipFile, zlib.error) as error:
            if self.leaves_out:
                warn_left_out(file)
                self.damaged = (*self.damaged, file.name)
                return {}
            # numpy's message is about pickles, whatever the bytes are
            raise damaged(file) from error

    def has(self, name: str) -> bool:
        """Whether there is a file of that name that is not known to be damaged."""
        if name in self.damaged:
            return False
        return name in self.files or (self.path / name).exists()

    def picture(self, name: str) -> Path | None:
        """Path of a picture; None if the task made none of that name, or it is damaged."""
        return self.path / f"{name}.png" if self.has(f"{name}.png") else None


@dataclass
class CellResult:
    """Result that a worker returns; nothing in it refers to the worker's memory."""

    record: Record
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
    weights: bytes = b""
    """The trained network as safetensors; empty if it is not kept."""


def upgrade(data: Mapping[str, Any]) -> dict[str, Any]:
    """Convert a record of any schema version, parsed from JSON, to the current version.

    Version 2 added lost workers, the worker that ran the cell, and its limits. Version 3 moved
    sizes and checksums of files to a manifest and removed the versions of plug-ins from keys and
    seeds. Records on disk are not changed and keep their keys.

    Raises:
        ValueError: the version does not exist, or parts of it are missing.
    """
    version = data.get("schema_version")
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        raise ValueError(f"schema version {version!r}, expected 1 to {SCHEMA_VERSION}")
    upgraded = dict(data)
    if version < 2:
        unknown = {"worker": None, "executor": "not recorded"}
        unknown |= {"timeout_s": None, "memory_limit_bytes": None}
        upgraded |= {"lost_workers": [], "provenance": unknown | _part(data, "provenance")}
    if version < 3:
        for moved in ("files", "checksum"):
            upgraded.pop(moved, None)
        cell = _part(data, "cell")
        upgraded["cell"] = cell | {"weights_version": _part(cell, "encoding").get("version")}
    return upgraded | {"schema_version": SCHEMA_VERSION}


def _part(data: Mapping[str, Any], name: str) -> dict[str, Any]:
    part = data.get(name)
    if not isinstance(part, Mapping):
        raise ValueError(f"{name} is missing")
    return dict(part)
