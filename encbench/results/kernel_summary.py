"""What a record says of a kernel: its spectrum, its parts, and what it predicts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, SerializerFunctionWrapHandler, model_serializer
from pydantic.dataclasses import dataclass

from encbench.results.provenance import Data

PART = Data.model_config
"""Of the parts of a summary. A record has dozens; as models they would be half of its memory."""


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
    """Largest left side minus right side; positive is a violation."""
    tolerance: float
    """Sum of the floors: rounding errors of this size are not a violation."""


@dataclass(config=PART, slots=True)
class ActivationSummary:
    """How the network's ReLU units limit the kernel's rank at these points."""

    duplicates: int
    """Points that equal an earlier one."""
    regions: int | None
    """Activation regions that hold a point (Hanin & Rolnick 2019); None without ReLU."""
    rank_bound: int | None
    """Bound of the trace kernel's rank; None where the features are not the coordinates."""
    dead_units: int
    dead_layers: int


@dataclass(config=PART, slots=True)
class EnergySummary:
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


@dataclass(config=PART, slots=True)
class TargetSummary:
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
    energy_points: int | None = None
    """Points whose kernel's eigenvectors the energies are in, chosen at random; None: all."""
    not_computed: str = ""
    """What there is not, and why."""


@dataclass(config=PART, slots=True)
class LevelShare:
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
        if self.target is None or energy is None or energy.k_90 is None:
            return None
        points = self.target.energy_points or self.points
        return energy.k_90 / (self.size // self.points * points)

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
