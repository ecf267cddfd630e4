"""What a run leaves: one record a cell, and the folder that holds them.

    DIRECTORY/
        run.json                      the suite as it was asked for
        records/<key>/record.json     everything in words and numbers
        records/<key>/arrays.npz      curves and spectra
        records/<key>/*.png           pictures

A record appears by one rename, so a reader never sees half of one.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Literal
from zipfile import BadZipFile

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from encbench.contracts.metric import MetricValue
from encbench.errors import StoreError
from encbench.results.provenance import Provenance
from encbench.results.schema import SCHEMA_VERSION
from encbench.suite.config import CellConfig

__all__ = [
    "CellResult",
    "ErrorInfo",
    "LearningRate",
    "Record",
    "SpectrumSummary",
    "Status",
    "StoredRecord",
    "damaged",
]

Status = Literal["ok", "failed", "diverged", "out_of_memory", "timeout", "interrupted"]


class Data(BaseModel):
    """Base of what is recorded; NaN and infinity survive the trip through JSON."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


class ErrorInfo(Data):
    """Why a cell is not "ok"."""

    type: str
    message: str
    traceback: str = ""
    step: int | None = None
    """Step at which training diverged, counted from 1."""


class LearningRate(Data):
    """The learning rate used, beside the largest stable one at initialization."""

    value: float
    critical: float | None = None
    """lr_crit: full-batch gradient descent on the linearized model is stable below it."""
    rule: Literal["given", "auto"]


class PartSummary(Data):
    """The spectrum of the MLP's part of the kernel alone: the ablation of the encoding's."""

    floor: float
    maximum: float
    median: float | None
    minimum: float | None
    resolved_rank: int


class WeylSummary(Data):
    """Theorem 1 of the paper on this kernel: λ_i(K_MLP) + λ_n(K_enc) ≤ λ_i(K) for all i."""

    ok: bool
    worst: float
    """Largest left side minus right side; positive is a violation."""
    tolerance: float
    """Sum of the floors: what rounding can make of an equality."""


class ActivationSummary(Data):
    """What the network's ReLU units explain of the kernel's rank at these points."""

    duplicates: int
    """Points that equal an earlier one."""
    regions: int | None
    """Activation regions that hold a point (Hanin & Rolnick 2019); None without ReLU."""
    rank_bound: int | None
    """Bound of the trace kernel's rank; None where the features are not the coordinates."""
    dead_units: int
    dead_layers: int


class SpectrumSummary(Data):
    """One NTK spectrum in numbers; the eigenvalues are in the record's arrays."""

    when: Literal["start", "middle", "end"]
    step: int
    points: int
    outputs: Literal["trace", "full"]
    """"trace": the N × N mean over outputs of the diagonal blocks; "full": NO × NO."""
    size: int
    """Eigenvalues: N, or N·O for "full"."""
    floor: float
    """Eigenvalues below it are rounding noise; they are counted, never values."""
    maximum: float
    median: float | None
    """None: below the floor."""
    quantile_10: float | None
    minimum: float | None
    resolved_rank: int
    """Eigenvalues above the floor."""
    effective_rank: float
    """exp of the entropy of the normalized eigenvalues (Roy & Vetterli 2007)."""
    negative: int = 0
    """Eigenvalues below zero: noise, for a kernel is positive semi-definite."""
    method: str = ""
    """Solver and precision."""
    seconds: float = 0.0
    """Kernel and eigenvalues."""
    minimum_bound: float | None = None
    """Upper bound of λ_min from the kernel's entries, where λ_min is below the floor."""
    mlp: PartSummary | None = None
    weyl: WeylSummary | None = None
    activation: ActivationSummary | None = None


class Record(Data):
    """Everything about one finished cell, in words and numbers."""

    schema_version: int = SCHEMA_VERSION
    key: str
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
    """Of the hidden layers, "auto" resolved; None where the network was not built."""
    parameters: dict[str, int] = Field(default_factory=dict)
    """Number of parameters: "mlp" and "encoding"."""
    learning_rate: LearningRate | None = None
    steps: int = 0
    """Optimizer steps done."""
    epochs: float = 0.0
    curve: str = "psnr"
    """Metric of the quality curve in the arrays."""
    best: float | None = None
    best_step: int | None = None
    """The best value on that curve, and its step."""
    metrics: dict[str, MetricValue] = Field(default_factory=dict)
    """At the end of training."""
    spectra: list[SpectrumSummary] = Field(default_factory=list)
    durations: dict[str, float] = Field(default_factory=dict)
    """Seconds by phase, none counted twice: "setup"; "training", the optimizer's steps and their
    data alone; "curve", the metric followed meanwhile; "ntk"; "evaluation"."""
    peak_memory_bytes: int | None = None
    """Of all phases, spectra included. On a CPU resident memory of the whole process, Python and
    torch (some 300 MiB) too; on a GPU what tensors were allocated."""
    lost_workers: list[str] = Field(default_factory=list)
    """Workers that died while they ran this cell, before the one that finished it: name and
    reason."""
    provenance: Provenance
    files: dict[str, int] = Field(default_factory=dict)
    """Name to size in bytes of what lies beside this record: how damage is found."""
    checksum: str | None = None
    """Of record.json: the first 16 hexadecimal digits of SHA-256 of its bytes as they are with
    null here. None is not checked: in records of schema version 1, and in memory."""

    @property
    def encoding_label(self) -> str:
        """The encoding with the parameters that were asked for, as a person would write it."""
        return self.cell.encoding.label or self.cell.encoding.name

    @property
    def task_label(self) -> str:
        return self.cell.task.label or self.cell.task.name


def damaged(file: Path) -> StoreError:
    """What to say of a file of a record whose bytes are not those that were written."""
    return StoreError(
        f"{file} is damaged; remove its folder, and the run that made it, given again, "
        "makes it again"
    )


class StoredRecord:
    """A record on disk: its numbers, and on demand its arrays and pictures.

    Arrays (all optional, float64 unless said):
        ``loss_step``, ``loss``: training loss, mean over the steps of an interval ending there.
        ``curve_step``, ``curve``: the metric ``record.curve`` during training.
        ``spectrum_start``, ``spectrum_middle``, ``spectrum_end``: eigenvalues, descending.
        ``spectrum_mlp_start``, …: eigenvalues of the MLP's part of the kernel alone.
    Reading them raises StoreError where the file is damaged.
    Pictures: ``target``, ``prediction``, ``error`` for images; tasks may add others.
    """

    def __init__(self, record: Record, path: Path) -> None:
        self.record = record
        self.path = path

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        file = self.path / "arrays.npz"
        if not file.exists() and file.name not in self.record.files:
            return {}
        try:
            with np.load(file, allow_pickle=False) as stored:
                return {name: stored[name] for name in stored.files}
        except (OSError, ValueError, EOFError, KeyError, BadZipFile, zlib.error) as error:
            # numpy's reason speaks of pickles, whatever the bytes
            raise damaged(file) from error

    def picture(self, name: str) -> Path | None:
        """Path of a picture, or None where the task made none of that name."""
        file = self.path / f"{name}.png"
        return file if file.exists() else None


@dataclass
class CellResult:
    """What a worker hands back: nothing in it refers to the worker's memory."""

    record: Record
    arrays: dict[str, np.ndarray] = field(default_factory=dict)
    pictures: dict[str, np.ndarray] = field(default_factory=dict)
