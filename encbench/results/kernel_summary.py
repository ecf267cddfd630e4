"""The summary of a kernel in a record: its spectrum, its parts, and the training it predicts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer
from pydantic.dataclasses import dataclass

from encbench.results.provenance import Data

PART = Data.model_config
"""Configuration of a summary's parts. Records have dozens: models would take half the memory."""


@dataclass(config=PART, slots=True)
class PartSummary:
    """The spectrum of the MLP's part of the kernel, without the encoding's parameters."""

    floor: float
    maximum: float
    median: float | None
    minimum: float | None
    resolved_rank: int


@dataclass(config=PART, slots=True)
class WeylSummary:
    """Weyl's inequality on this kernel's parts: λ_i(K_MLP) + λ_n(K_enc) ≤ λ_i(K) for all i."""

    ok: bool
    worst: float
    """Maximum over i of left side minus right side; above the tolerance, it is a violation."""
    tolerance: float
    """Sum of the floors of the three spectra: rounding errors can be this large."""


@dataclass(config=PART, slots=True)
class ActivationSummary:
    """How the network's ReLU units limit the kernel's rank at these points."""

    duplicates: int
    """Number of points that equal an earlier one."""
    regions: int | None
    """Number of activation regions with a point (Hanin & Rolnick 2019); None without ReLU."""
    rank_bound: int | None
    """Upper bound of the trace kernel's rank; O times it is one of the full kernel's. None if it
    is not known, as with an encoding."""
    dead_units: int
    dead_layers: int


@dataclass(config=PART, slots=True)
class EnergySummary:
    """Distribution of a function's energy over the eigenvectors of a kernel, leading first.

    Eigenvectors of eigenvalues below the floor are arbitrary: values that need them are None.
    """

    k_50: int | None
    """Smallest k such that the leading k of M eigenvectors hold 50 % of the energy."""
    k_90: int | None
    k_99: int | None
    tenth: float | None
    """Share of the energy in the leading ⌈M / 10⌉ eigenvectors."""
    resolved: float
    """Share of the energy in all eigenvectors with eigenvalues above the floor."""


@dataclass(config=PART, slots=True)
class TargetSummary:
    """How well a kernel fits the target Y; the record's arrays have the cumulative energies."""

    alignment: float | None = None
    """<K, Y Yᵀ> / (‖K‖ ‖Y Yᵀ‖), not centred; None if the target is zero or unknown."""
    alignment_centred: float | None = None
    """The alignment after the means over the points are removed from kernel and target."""
    target: EnergySummary | None = None
    """Energy of Y."""
    target_centred: EnergySummary | None = None
    """Energy of Y minus its mean over the points, per output."""
    residual: EnergySummary | None = None
    """Energy of the prediction minus Y."""
    energy_points: int | None = None
    """Number of points, chosen at random, whose kernel the energies refer to; None: all."""
    not_computed: str = ""
    """What was not computed, and why."""


@dataclass(config=PART, slots=True)
class LevelShare:
    """What one part of the parameters contributes to a kernel."""

    name: str
    """"network", "level 1, 64 nodes", "feature 5", …"""
    trace: float
    """Share of the kernel's trace."""
    mean: float | None
    """Mean of v_iᵀ K_l v_i / λ_i over the eigenvalues above the floor; None if not computed."""


class SplitSummary(Data):
    """A kernel as a sum over the network and the levels of its encoding; the record's arrays have
    v_iᵀ K_l v_i / λ_i per eigenvector."""

    parts: list[LevelShare] = Field(default_factory=list)
    """The network, then the levels, coarsest first; their shares sum to 1."""
    not_computed: str = ""
    """What was not computed, and why."""


class SpectrumSummary(Data):
    """One NTK spectrum in numbers; the eigenvalues are in the record's arrays."""

    when: Literal["start", "middle", "end"]
    step: int
    points: int
    outputs: Literal["trace", "full"]
    """"trace": the N × N mean over outputs of the diagonal blocks; "full": NO × NO."""
    size: int
    """Number of eigenvalues: N for "trace", N·O for "full"."""
    floor: float
    """Eigenvalues below it are rounding noise: counted, never reported as values."""
    maximum: float
    median: float | None
    """None if it is below the floor, as for the other quantiles."""
    quantile_10: float | None
    minimum: float | None
    resolved_rank: int
    """Number of eigenvalues above the floor."""
    effective_rank: float
    """exp of the entropy of the normalized eigenvalues (Roy & Vetterli 2007); NaN if only the
    largest were computed."""
    negative: int = 0
    """Number of negative eigenvalues: rounding noise, since a kernel is positive semi-definite."""
    method: str = ""
    """Solver and precision; if there is an encoding's part, also how its λ_n was computed."""
    seconds: float = 0.0
    """Time for the kernel and its eigenvalues [s]."""
    minimum_bound: float | None = None
    """Upper bound of λ_min if that is below the floor or was not computed."""
    mlp: PartSummary | None = None
    weyl: WeylSummary | None = None
    activation: ActivationSummary | None = None
    learning_rate: float | None = None
    """Learning rate at this step."""
    critical_rate: float | None = None
    """lr_crit of the network at this step; ``LearningRate.critical`` is that at the start."""
    lr_ratio: float | None = None
    """learning_rate / critical_rate, lr · λ_max / (N · O) for the squared error; None for
    optimizers other than gradient descent, for which it has no meaning."""
    drift: float | None = None
    """‖K − K_start‖ / ‖K_start‖, Frobenius norms, on the same points."""
    drift_from_middle: float | None = None
    """At the end, ‖K − K_middle‖ / ‖K_middle‖."""
    target: TargetSummary | None = None
    """None in records made before this field existed."""
    split: SplitSummary | None = None
    """None if it was not requested."""

    @property
    def median_ratio(self) -> float | None:
        """λ median / λ_max."""
        return None if self.median is None else self.median / self.maximum

    @property
    def alignment_centred(self) -> float | None:
        """Centred alignment of kernel and target."""
        return None if self.target is None else self.target.alignment_centred

    @property
    def energy_tenth(self) -> float | None:
        """Share of the centred target's energy in the leading tenth of the eigenvectors."""
        energy = None if self.target is None else self.target.target_centred
        return None if energy is None else energy.tenth

    @property
    def energy_90(self) -> float | None:
        """Smallest share of leading eigenvectors that hold 90 % of that energy."""
        energy = None if self.target is None else self.target.target_centred
        if self.target is None or energy is None or energy.k_90 is None:
            return None
        points = self.target.energy_points or self.points
        return energy.k_90 / (self.size // self.points * points)

    @model_serializer(mode="wrap")
    def _without_empty(self, handler: SerializerFunctionWrapHandler) -> dict[str, Any]:
        """Omit these fields if they are None, as in files written before they existed."""
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
    """Training as predicted from the kernel at the start, and as measured.

    The prediction is gradient flow of the model linearized at the start (Eq. 5 of the paper), for
    plain gradient descent with the squared error: the loss after s steps is that at t = Σ learning
    rates. Gradient flow is stable for any learning rate; ``SpectrumSummary.lr_ratio`` says whether
    gradient descent is. The record's arrays have the predicted and the measured curve.
    """

    not_predicted: str = ""
    """Why there is no prediction, such as "adam is not plain gradient descent"."""
    points: int | None = None
    """Number of points of the kernel: those of the spectrum, at most 4096. With fewer points than
    were trained on there is less detail to learn, and the predicted steps are too few."""
    loss: float | None = None
    """Predicted mean squared error at these points after the last step."""
    predicted_25: float | None = None
    """Steps until the mean squared error is 10^(−2.5), which is 25 dB at data range 1. None if
    never, later than 100 times the length of the training, or not known within 1 %; or after the
    training's end, with a learning rate that is not constant."""
    predicted_30: float | None = None
    predicted_35: float | None = None
    measured_25: float | None = None
    """First step at which the training loss, mean over an interval, was that small; else None."""
    measured_30: float | None = None
    measured_35: float | None = None

    @property
    def levels(self) -> list[tuple[int, float | None, float | None]]:
        """Levels of PSNR [dB], each with the predicted and the measured number of steps."""
        return [
            (25, self.predicted_25, self.measured_25),
            (30, self.predicted_30, self.measured_30),
            (35, self.predicted_35, self.measured_35),
        ]
