"""Loss curves that the kernel at the start predicts, beside those that training takes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from encbench import ntk
from encbench.contracts.task import Task
from encbench.errors import ParameterError
from encbench.network.mlp import CoordinateMLP

__all__ = ["Comparison", "compare_dynamics"]

APART = 0.1
"""Relative difference from which prediction and measurement count as parted."""


@dataclass(frozen=True, eq=False)
class Comparison:
    """Full-batch gradient descent at one learning rate."""

    factor: float
    lr: float
    """factor · lr_crit."""
    steps: np.ndarray
    """(T,) numbers of steps, from 0."""
    measured: np.ndarray
    """(T,) mean squared error over all points and outputs; NaN or infinite where it diverged."""
    predicted: np.ndarray
    """(T,) of the model linearized at the start (the paper's Eq. 5 and 7, discrete steps)."""
    parted: int | None
    """First of ``steps`` at which the two differ by over 10 %, or None."""

    def data(self) -> dict[str, Any]:
        """As plain data, for a JSON file."""
        return {
            "factor": self.factor,
            "lr": self.lr,
            "steps": self.steps.tolist(),
            "measured": [float(v) if np.isfinite(v) else str(v) for v in self.measured],
            "predicted": [float(v) if np.isfinite(v) else str(v) for v in self.predicted],
            "parted": self.parted,
        }


def compare_dynamics(
    model: CoordinateMLP,
    task: Task,
    factors: Sequence[float],
    steps: int,
    generator: torch.Generator,
    progress: Callable[[int], None] = lambda step: None,
) -> list[Comparison]:
    """Train copies of a model in float64 by full-batch gradient descent, and predict each curve.

    Args:
        model: at its start; not changed.
        task: with the squared error; all points of one epoch are used, (N·O)² numbers of kernel.
        factors: learning rates as multiples of lr_crit = N·O / λ_max of the full kernel.
        steps: of each training.
        generator: of the points.
        progress: called after each step.

    Raises:
        ParameterError: the task's loss is not the squared error, or a factor is not positive.
        NtkError: the kernel does not fit in memory.
    """
    if task.loss != "mse":
        raise ParameterError(
            f"the prediction is for the squared error; this task's loss is {task.loss!r}"
        )
    if steps < 1 or min(factors) <= 0:
        raise ParameterError(f"steps and factors must be positive, got {steps} and {factors}")
    x, y = (tensor.double() for tensor in task.epoch(generator))
    start = deepcopy(model).double()
    kernel = ntk.empirical_ntk(start, x, outputs="full", parts=()).total
    critical = y.numel() / ntk.spectrum(kernel).maximum
    with torch.no_grad():
        residual = start(x) - y
    moments = np.unique(np.concatenate([[0], np.geomspace(1, steps, 60).round()])).astype(int)
    found = []
    for factor in factors:
        lr = factor * critical
        measured = _descend(deepcopy(start), x, y, lr, moments, progress)
        predicted = ntk.predict_training(kernel, residual, moments, lr=lr).loss
        with np.errstate(invalid="ignore", divide="ignore"):
            far = ~(np.abs(measured / predicted - 1) <= APART)
        parted = int(moments[far][0]) if far.any() else None
        found.append(Comparison(factor, lr, moments, measured, predicted, parted))
    return found


def _descend(
    model: CoordinateMLP,
    x: Tensor,
    y: Tensor,
    lr: float,
    moments: np.ndarray,
    progress: Callable[[int], None],
) -> np.ndarray:
    """(T,) the loss before the first step and after each number of steps in moments."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    wanted, losses = set(moments.tolist()), []
    for step in range(int(moments[-1]) + 1):
        optimizer.zero_grad()
        loss = torch.mean((model(x) - y) ** 2)
        if step in wanted:
            losses.append(loss.item())
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        optimizer.step()
        progress(step)
    return np.asarray(losses)
