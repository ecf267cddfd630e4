"""Compare a cell's kernels with the target and with each other, and predict its training."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from encbench.contracts.network import Network
from encbench.contracts.optimizer import Optimizer, Schedule, factor_of
from encbench.contracts.task import Predict, Task, epoch_of, loss_name, values_at_of
from encbench.device import available_memory
from encbench.errors import NtkError
from encbench.ntk.alignment import alignment, drift, eigenvector_energy
from encbench.ntk.flow import Flow
from encbench.ntk.lanczos import Tridiagonal, lanczos
from encbench.ntk.operator import operator
from encbench.ntk.spectrum import spectrum
from encbench.results.kernel_summary import EnergySummary, LinearizedTraining, TargetSummary
from encbench.suite.config import TrainingConfig
from encbench.training.losses import OWN_LOSS

ENERGY_ROWS = 1024
"""Maximum number of rows of a kernel for its eigenvectors: with all rows of a larger one, they
would double the time of a spectrum."""
COPY_SHARE = 0.1
"""Maximum share of the free memory that the copy of a kernel may take."""
CURVE_POINTS = 40
"""Number of points of the cumulative energy's curve."""
PREDICTED_POINTS = 4096
PREDICTED_STEPS = 60
PRODUCTS = 100
"""Maximum number of products with the kernel for the predicted loss."""
FAR = 100.0
"""Maximum predicted number of steps, in multiples of the length of the training."""
LEVELS = {level: 10 ** (-level / 10) for level in (25, 30, 35)}
"""Mean squared error by PSNR [dB] at data range 1."""
CERTAIN = 0.01
"""Maximum relative difference between the bounds of a predicted time."""


def target_values(task: Task, x: Tensor, generator: torch.Generator) -> Tensor | None:
    """Target values y (N, O) at a kernel's points x (N, d); None if they are not known, or if the
    loss is the task's own, so that they are not needed.

    Args:
        generator: in the state in which ``task.ntk_points`` drew x with it: an epoch drawn with it
            contains x, unless the task overrides that method; ``task.values_at`` may then help.

    Raises:
        TypeError: the values do not have the required shape or type.
    """
    if loss_name(task) is None:
        return None
    y = values_at_of(task, x)
    if y is None:
        points, values = epoch_of(task, generator)
        place = {row.tobytes(): i for i, row in enumerate(points.double().numpy())}
        found = [place.get(row.tobytes()) for row in x.double().numpy()]
        y = None if None in found else values[torch.tensor(found)]
    return y


class KernelTarget:
    """The target at the points of a cell's kernels, and its earlier kernels.

    A float32 copy of each kernel (M, M) except the last is kept, 4 M² bytes, unless that is more
    than a tenth of the free memory; drift is then not known.

    Args:
        task: the task.
        y: the target at the kernel's points, (N, O); None if it is not known.
    """

    def __init__(self, task: Task, y: Tensor | None) -> None:
        self.task = task
        self.why_not = ""
        if loss_name(task) is None:
            self.why_not = OWN_LOSS
        elif y is None:
            self.why_not = "the task's values at the kernel's points are not known"
        self.y = None if self.why_not or y is None else y.double()
        self.flow: Flow | None = None
        """Gradient flow of the model linearized at the start; None until it is predicted."""
        self._earlier: dict[str, Tensor] = {}

    def relate(
        self, predict: Predict, x: Tensor, when: str, kernel: Tensor, resolved_rank: int
    ) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """Fields of a ``SpectrumSummary``, and arrays, for the kernel (M, M) at x (N, d)."""
        fields: dict[str, Any] = {}
        for name, earlier in (("drift", "start"), ("drift_from_middle", "middle")):
            if when != earlier and earlier in self._earlier:
                fields[name] = drift(kernel, self._earlier[earlier])
        copy = 4 * kernel.numel()
        if when != "end" and copy < COPY_SHARE * available_memory(torch.device("cpu")):
            self._earlier[when] = kernel.to(device="cpu", dtype=torch.float32)
        if self.y is None:
            return fields | {"target": TargetSummary(not_computed=self.why_not)}, {}
        residual = self.residual(predict, x)
        summary, arrays = _fit(kernel, self.y, residual, resolved_rank)
        return fields | {"target": summary}, {f"energy_{when}": a for a in arrays}

    def residual(self, predict: Predict, x: Tensor) -> Tensor:
        """The prediction minus the target at x (N, d), (N, O) float64."""
        assert self.y is not None
        return predict(x).double() - self.y


def _fit(
    kernel: Tensor, y: Tensor, residual: Tensor, resolved_rank: int
) -> tuple[TargetSummary, list[np.ndarray]]:
    summary = TargetSummary(
        alignment=_known(alignment(kernel, y)),
        alignment_centred=_known(alignment(kernel, y, centred=True)),
    )
    rows, outputs = len(kernel), len(kernel) // len(y)
    if rows > ENERGY_ROWS:
        summary.energy_points = ENERGY_ROWS // outputs
        # at random: every fourth pixel of an image's rows would be stripes
        order = torch.randperm(len(y), generator=torch.Generator().manual_seed(0))
        chosen = order[: summary.energy_points]
        y, residual = y[chosen], residual[chosen]
        of_chosen = (chosen[:, None] * outputs + torch.arange(outputs)).flatten().to(kernel.device)
        kernel = kernel[of_chosen][:, of_chosen]
        rows, resolved_rank = len(kernel), spectrum(kernel).resolved_rank
    shares = eigenvector_energy(kernel, y, y - y.mean(0), residual)
    cumulative = np.cumsum(shares, axis=0)
    summary.target, summary.target_centred, summary.residual = (
        _energy(column, resolved_rank) for column in cumulative.T
    )
    k = np.unique(np.geomspace(1, rows, CURVE_POINTS).round().astype(int))
    curve = np.where(k[:, None] <= resolved_rank, cumulative[k - 1], np.nan)
    return summary, [np.column_stack([k, curve])]


def _energy(cumulative: np.ndarray, resolved_rank: int) -> EnergySummary | None:
    if not resolved_rank or np.isnan(cumulative).any():
        return None
    within = cumulative[:resolved_rank]

    def least(share: float) -> int | None:
        return int(np.searchsorted(within, share)) + 1 if within[-1] >= share else None

    tenth = math.ceil(len(cumulative) / 10)
    return EnergySummary(
        k_50=least(0.5),
        k_90=least(0.9),
        k_99=least(0.99),
        tenth=float(within[tenth - 1]) if tenth <= resolved_rank else None,
        resolved=min(float(within[-1]), 1.0),
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def predicted_training(
    target: KernelTarget,
    model: Network,
    predict: Predict,
    x: Tensor,
    config: TrainingConfig,
    training: tuple[Optimizer, Schedule],
    lr: float,
    steps: int,
) -> tuple[LinearizedTraining, dict[str, np.ndarray]]:
    """Predict a model's training from its kernel at the start, at x (N, d).

    Uses products with the full kernel at up to ``PREDICTED_POINTS`` of the points, evenly chosen.

    Args:
        target: the target at x.
        model: the model at the start.
        predict: computes the model's outputs.
        config: training settings.
        training: optimizer and schedule.
        lr: the learning rate.
        steps: number of optimizer steps.
    """
    optimizer, schedule = training
    name = loss_name(target.task)
    reason = target.why_not
    if not optimizer.plain:
        reason = f"{config.optimizer} is not plain gradient descent"
    elif name is not None and name != "mse":
        reason = f"the loss is {name}, not the mean squared error"
    elif config.encoding_lr_factor != 1 and model.parameter_counts()["encoding"]:
        reason = "the encoding's parameters have a learning rate of their own"
    elif model.adds_to_loss:
        reason = "the network adds terms of its own to the task's loss"
    if reason:
        return LinearizedTraining(not_predicted=reason), {}
    chosen = np.unique(
        np.linspace(0, len(x) - 1, min(PREDICTED_POINTS, len(x))).round().astype(int)
    )
    points = x[chosen]
    # t after each number of steps, from 0
    time = np.cumsum([0.0, *(lr * factor_of(schedule, step, steps) for step in range(steps))])
    at = np.unique(np.geomspace(1, steps, PREDICTED_STEPS).round().astype(int))
    at = np.concatenate([[0], at])
    length = float(time[-1])

    def enough(found: Tridiagonal) -> bool:
        if len(found.diagonal) % 10:
            return False
        flow = Flow.of(found)
        low, high = (float(modes.loss(time[-1:])[0]) for modes in (flow.lower, flow.upper))
        bounds = [flow.time_to(loss) for loss in LEVELS.values()]
        return high <= (1 + CERTAIN) * low and all(
            late <= (1 + CERTAIN) * early or early > FAR * length for early, late in bounds
        )

    try:
        if target.flow is None:
            start = target.residual(predict, x)[chosen].flatten()
            if not bool(torch.isfinite(start).all()):
                raise NtkError("the network's outputs are not finite")
            kernel = operator(model, points, outputs="full")
            start = start.to(kernel.device)
            target.flow = Flow.of(lanczos(kernel.product, start, PRODUCTS, enough))
    except NtkError as error:
        return LinearizedTraining(not_predicted=str(error)), {}
    loss = target.flow.lower.loss(time[at])
    predicted = LinearizedTraining(points=len(points), loss=float(loss[-1]))
    last_rate = lr * factor_of(schedule, steps - 1, steps)
    for level, reached in LEVELS.items():
        early, late = target.flow.time_to(reached)
        known = late <= (1 + CERTAIN) * early and late <= FAR * length
        if known and late <= length:
            setattr(predicted, f"predicted_{level}", float(np.interp(late, time, range(steps + 1))))
        elif known and last_rate == lr:
            setattr(predicted, f"predicted_{level}", steps + (late - length) / lr)
    return predicted, {"linearized_step": at.astype(float), "linearized_loss": loss}


def add_measured(
    linearized: LinearizedTraining, steps: Sequence[int], losses: Sequence[float]
) -> None:
    """Set the first step at which the training loss, a mean squared error, was at each level."""
    for level, loss in LEVELS.items():
        reached = np.flatnonzero(np.asarray(losses) <= loss)
        if len(reached):
            setattr(linearized, f"measured_{level}", float(steps[reached[0]]))
