"""What a run leaves: one record a cell, and the folder that holds them.

    DIRECTORY/
        run.json                         the suites as they were asked for
        index.sqlite                     what the records hold, to be read at once
        records/ab/<key>/manifest.json   size and SHA-256 of each of the other files
        records/ab/<key>/record.json     everything in words and numbers
        records/ab/<key>/arrays.npz      curves and spectra
        records/ab/<key>/*.png           pictures
        records/ab/<key>/weights.safetensors  the trained network, where the run kept it

"ab" stands for the first two characters of the key; earlier versions of encbench made
``records/<key>``. A record appears by one rename, so a reader never sees half of one.
"""

from __future__ import annotations

import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, Self
from zipfile import BadZipFile

import numpy as np
from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

from encbench.contracts.metric import MetricValue
from encbench.errors import StoreError
from encbench.results.provenance import Provenance
from encbench.suite.config import CellConfig

SCHEMA_VERSION = 3
MOST_ARRAY_BYTES = 1 << 33
"""Of all arrays of a record together, 8 GiB: a few kilobytes of zeros could unpack to more."""
Status = Literal["ok", "failed", "diverged", "out_of_memory", "timeout", "interrupted"]


class Data(BaseModel):
    """Base of what is recorded; NaN and infinity are written to JSON as texts."""

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")


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
    """lr_crit: full-batch gradient descent on the linearized model is stable below it. None for a
    loss of which none is known."""
    rule: Literal["given", "auto"]
    halvings: int = 0
    """How often the automatic rate was halved because training diverged with it."""


class PartSummary(Data):
    """The spectrum of the MLP's part of the kernel, without the encoding's parameters."""

    floor: float
    maximum: float
    median: float | None
    minimum: float | None
    resolved_rank: int


class WeylSummary(Data):
    """Weyl's inequality on this kernel's parts: λ_i(K_MLP) + λ_n(K_enc) ≤ λ_i(K) for all i."""

    ok: bool
    worst: float
    """Largest left side minus right side; positive is a violation."""
    tolerance: float
    """Sum of the floors: rounding errors of this size are not a violation."""


class ActivationSummary(Data):
    """How the network's ReLU units limit the kernel's rank at these points."""

    duplicates: int
    """Points that equal an earlier one."""
    regions: int | None
    """Activation regions that hold a point (Hanin & Rolnick 2019); None without ReLU."""
    rank_bound: int | None
    """Bound of the trace kernel's rank; None where the features are not the coordinates."""
    dead_units: int
    dead_layers: int


class EnergySummary(Data):
    """Where the energy of a function lies among the eigenvectors of a kernel, leading first.

    Eigenvectors of eigenvalues below the floor are arbitrary: what needs their order is None.
    """

    k_50: int | None
    """The least k whose leading eigenvectors hold 50 % of the energy; of M in all."""
    k_90: int | None
    k_99: int | None
    tenth: float | None
    """Share in the leading M / 10, rounded up."""
    resolved: float
    """Share in all eigenvectors above the floor."""


class TargetSummary(Data):
    """How a kernel fits what is learned; cumulative energies are in the record's arrays."""

    alignment: float | None = None
    """<K, Y Yᵀ> / (‖K‖ ‖Y Yᵀ‖), not centred; None where the target is zero, or unknown."""
    alignment_centred: float | None = None
    """The same of kernel and target less their means over the points."""
    target: EnergySummary | None = None
    """Of Y as it is."""
    target_centred: EnergySummary | None = None
    """Of Y less its mean over the points, per output."""
    residual: EnergySummary | None = None
    """Of the prediction less Y."""
    not_computed: str = ""
    """What there is not, and why."""


class LevelShare(Data):
    """What one part of the parameters contributes to a kernel."""

    name: str
    """"network", "level 1, 64 nodes", "feature 5", …"""
    trace: float
    """Share of the sum of the eigenvalues."""
    mean: float | None
    """v_iᵀ K_l v_i / λ_i, mean over the eigenvalues above the floor; None where not computed."""


class SplitSummary(Data):
    """A kernel as a sum over the network and the levels of its encoding; v_iᵀ K_l v_i of each
    eigenvector is in the record's arrays."""

    parts: list[LevelShare] = Field(default_factory=list)
    """The network, then the levels, coarsest first; their shares sum to 1."""
    not_computed: str = ""
    """What there is not, and why."""


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
    """Eigenvalues below it are rounding noise: counted, never reported as values."""
    maximum: float
    median: float | None
    """None: below the floor."""
    quantile_10: float | None
    minimum: float | None
    resolved_rank: int
    """Eigenvalues above the floor."""
    effective_rank: float
    """exp of the entropy of the normalized eigenvalues (Roy & Vetterli 2007); NaN where only the
    largest were found."""
    negative: int = 0
    """Eigenvalues below zero: rounding noise, since a kernel is positive semi-definite."""
    method: str = ""
    """Solver and precision; and how λ_n of the encoding's part was found, where it has one."""
    seconds: float = 0.0
    """Kernel and eigenvalues."""
    minimum_bound: float | None = None
    """Upper bound of λ_min from the kernel's entries, where λ_min is below the floor."""
    mlp: PartSummary | None = None
    weyl: WeylSummary | None = None
    activation: ActivationSummary | None = None
    learning_rate: float | None = None
    """At this step."""
    critical_rate: float | None = None
    """lr_crit of the network at this step, as ``LearningRate.critical`` is of the one at the
    start."""
    lr_ratio: float | None = None
    """learning_rate / critical_rate, lr · λ_max / (N · O) for the squared error; None of
    optimizers other than gradient descent, for which it says nothing."""
    drift: float | None = None
    """‖K − K_start‖ / ‖K_start‖, Frobenius norms, on the same points."""
    drift_from_middle: float | None = None
    """At the end, ‖K − K_middle‖ / ‖K_middle‖."""
    target: TargetSummary | None = None
    """None in records before there was any."""
    split: SplitSummary | None = None
    """None where it was not asked for."""

    @property
    def median_ratio(self) -> float | None:
        """λ median / λ_max."""
        return None if self.median is None else self.median / self.maximum

    @property
    def alignment_centred(self) -> float | None:
        """Of kernel and target."""
        return None if self.target is None else self.target.alignment_centred

    @property
    def energy_tenth(self) -> float | None:
        """Share of the target's energy, less its mean, in the leading tenth of the eigenvectors."""
        energy = None if self.target is None else self.target.target_centred
        return None if energy is None else energy.tenth

    @property
    def energy_90(self) -> float | None:
        """Share of the eigenvectors whose leading ones hold 90 % of that energy."""
        energy = None if self.target is None else self.target.target_centred
        return None if energy is None or energy.k_90 is None else energy.k_90 / self.size

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A summary without these fields is written as before there were any."""
        later = (
            "learning_rate",
            "critical_rate",
            "lr_ratio",
            "drift",
            "drift_from_middle",
            "target",
            "split",
        )
        return {k: v for k, v in handler(self).items() if v is not None or k not in later}


class LinearizedTraining(Data):
    """Training as the kernel at the start predicts it, beside what was measured.

    Gradient flow of the model linearized at the start (Eq. 5 of the paper), for plain gradient
    descent with the squared error: the loss after s steps is that at t = Σ learning rates. It has
    no step that is too large; ``SpectrumSummary.lr_ratio`` says whether there is one. Predicted and
    measured curve are in the record's arrays.
    """

    not_predicted: str = ""
    """Why there is no prediction, such as "adam is not plain gradient descent"."""
    points: int | None = None
    """Points of the kernel: those of the spectrum, at most 4096. Of fewer points than were trained
    on there is less detail to learn, and the prediction is too early."""
    loss: float | None = None
    """Predicted mean squared error at these points after the last step."""
    predicted_25: float | None = None
    """Steps until the mean squared error is 10^(−2.5), which is 25 dB at data range 1. None:
    never, or more than 100 times as late as the training ends; or beyond its end with a rate that
    is not constant."""
    predicted_30: float | None = None
    predicted_35: float | None = None
    measured_25: float | None = None
    """Step at which the training loss, mean over an interval, was first that small; None: never."""
    measured_30: float | None = None
    measured_35: float | None = None

    @property
    def levels(self) -> list[tuple[int, float | None, float | None]]:
        """Decibels, the predicted and the measured number of steps."""
        return [
            (25, self.predicted_25, self.measured_25),
            (30, self.predicted_30, self.measured_30),
            (35, self.predicted_35, self.measured_35),
        ]


class Record(Data):
    """Everything about one finished cell, in words and numbers."""

    schema_version: int = SCHEMA_VERSION
    key: str
    """Name of the record's folder: ``cell_key(cell)``. In records up to schema version 2 it is
    the key of that time, a hash that includes the versions of the plug-ins."""
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
    training_points: int | None = None
    """Points trained on; those that an epoch shares with the one before count once."""
    step_method: str | None = None
    """How a step was computed: "layerwise", or what autograd did and why."""
    splittable: bool = False
    """Whether the task has a parameter "split", which says what points are held out. A task may
    leave its default out of the cell."""
    own_loss: bool = False
    """Whether what was trained with is a loss of the task's own, which need not compare the
    network's outputs with values at the points."""
    curve: str = "psnr"
    """Metric of the quality curve in the arrays."""
    curve_points: int | None = None
    """Number of points that it was computed from; None where the task does not say."""
    curve_seconds: list[float] = Field(default_factory=list)
    """Time of training [s] until each point of the curve, to the millisecond."""
    best: float | None = None
    best_step: int | None = None
    """The best value on that curve, and its step."""
    metrics: dict[str, MetricValue] = Field(default_factory=dict)
    """At the end of training."""
    baselines: dict[str, dict[str, MetricValue]] = Field(default_factory=dict)
    """Metrics of methods without a network on the same training points, by the method's name."""
    line_titles: dict[str, tuple[str, str]] = Field(default_factory=dict)
    """What x and the values of the arrays ``line.NAME`` are, with units, by NAME."""
    spectra: list[SpectrumSummary] = Field(default_factory=list)
    linearized: LinearizedTraining | None = None
    """None without spectra, and in records before there was any."""
    durations: dict[str, float] = Field(default_factory=dict)
    """Seconds by phase, none counted twice: "setup"; "training", only the optimizer's steps and
    their data; "curve", the metric during training; "ntk"; "evaluation"."""
    peak_memory_bytes: int | None = None
    """Over all phases, spectra included. On a CPU the resident memory of the whole process,
    with Python and torch (some 300 MiB); on a GPU the memory allocated to tensors."""
    lost_workers: list[str] = Field(default_factory=list)
    """Name and reason of each worker that died while it ran this cell, before the one that
    finished it."""
    provenance: Provenance

    @model_validator(mode="after")
    def _own_loss_in_words(self) -> Self:
        """Records made before there was ``own_loss`` say it in ``step_method`` alone."""
        self.own_loss |= self.step_method == "autograd: the task has a loss of its own"
        return self

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """A record without these fields is written as before there were any."""
        later = ("baselines", "line_titles", "linearized", "own_loss", "splittable")
        return {k: v for k, v in handler(self).items() if v or k not in later}

    @property
    def encoding_label(self) -> str:
        """The encoding with the parameters that were asked for, as a person would write it."""
        return self.cell.encoding.label or self.cell.encoding.name

    @property
    def task_label(self) -> str:
        return self.cell.task.label or self.cell.task.name


@dataclass(frozen=True, slots=True)
class FileEntry:
    """What a record's manifest says of one of its files."""

    size: int
    """Bytes."""
    sha256: str | None
    """Hexadecimal; None in records up to schema version 2."""


def damaged(file: Path) -> StoreError:
    """The error for a file of a record whose bytes are not those that were written."""
    return StoreError(
        f"{file} is damaged; remove its folder and repeat the run that made it to make it again"
    )


class StoredRecord:
    """A record on disk: its numbers, and on demand its arrays and pictures.

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
        ``linearized_step``, ``linearized_loss``: what the kernel at the start predicts.
        ``line.NAME``: (N, 1 + 2·O) x, O predictions, O true values of a function of one variable.
    Reading them raises StoreError where the file is damaged.
    Pictures: ``target``, ``prediction``, ``error`` for images; tasks may add others.

    Args:
        record: the numbers.
        path: its folder.
        files: by name, what lies beside record.json.
    """

    def __init__(
        self, record: Record, path: Path, files: Mapping[str, FileEntry] | None = None
    ) -> None:
        self.record = record
        self.path = path
        self.files = files or {}

    @cached_property
    def arrays(self) -> dict[str, np.ndarray]:
        return self._read(())

    def some_arrays(self, *names: str) -> dict[str, np.ndarray]:
        """Those of these arrays that there are; the others are neither read nor kept."""
        if "arrays" in self.__dict__:
            return {name: self.arrays[name] for name in names if name in self.arrays}
        return self._read(names)

    def _read(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """The arrays of these names, or all where none is given."""
        file = self.path / "arrays.npz"
        if not file.exists() and file.name not in self.files:
            return {}
        try:
            with np.load(file, allow_pickle=False) as stored:
                if sum(part.file_size for part in stored.zip.infolist()) > MOST_ARRAY_BYTES:
                    raise ValueError("the arrays are too large for a record")
                wanted = [name for name in names or stored.files if name in stored.files]
                return {name: stored[name] for name in wanted}
        except (OSError, ValueError, EOFError, KeyError, BadZipFile, zlib.error) as error:
            # numpy's message is about pickles, whatever the bytes are
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
    weights: bytes = b""
    """The trained network as safetensors; empty where it is not kept."""


def upgrade(data: Mapping[str, Any]) -> dict[str, Any]:
    """A record of any schema version, as JSON gives it, in the form of the present one.

    Version 2 added workers that died, who ran the cell, and its limits. Version 3 moved sizes
    and checksums of files to a manifest and took the versions of plug-ins out of keys and seeds.
    Records on disk stay as they are, under the keys that they have.

    Raises:
        ValueError: a version that never was, or parts of that version are missing.
    """
    version = data.get("schema_version")
    if type(version) is not int or not 1 <= version <= SCHEMA_VERSION:
        raise ValueError(f"schema version {version}, expected 1 to {SCHEMA_VERSION}")
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
