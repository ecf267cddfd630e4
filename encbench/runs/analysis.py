"""Analyse the networks of a suite without a run: kernels at the start, and predicted training."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from encbench import ntk
from encbench.contracts.network import Network
from encbench.contracts.task import (
    CURVATURE,
    Task,
    check_values,
    epoch_of,
    held_out_of,
    loss_name,
    ntk_points_of,
)
from encbench.errors import ParameterError
from encbench.ntk.model import cast
from encbench.plugins.registry import Registry
from encbench.results.kernel_summary import SpectrumSummary
from encbench.runs.missing_data import refuse_missing_data
from encbench.runs.parts import build_model, build_task, cell_streams, plugin_named
from encbench.runs.spectra import measure_spectrum, ntk_count
from encbench.suite.config import CellConfig
from encbench.suite.file import Suite
from encbench.suite.labels import unique_labels
from encbench.suite.plan import plan
from encbench.training.gradients import check_parameters

LEADING = 8
"""Number of leading eigenpairs computed without forming the kernel."""

APART = 0.1
"""Relative difference above which a predicted loss counts as wrong."""


@dataclass(frozen=True, eq=False)
class Initial:
    """The kernel of one encoding on one task's points, before any training."""

    task: str
    encoding: str
    points: int
    outputs: Literal["trace", "full"]
    critical: float | None
    """lr_crit at these points; None if it is not known for the loss."""
    seconds: float
    summary: SpectrumSummary | None = None
    """None if the kernel was not formed; ``leading`` and ``density`` are then set instead."""
    eigenvalues: np.ndarray | None = None
    shares: np.ndarray | None = None
    """(R, parts) shares of the parts in ``summary.split``, per eigenvalue above the floor."""
    leading: ntk.Leading | None = None
    density: ntk.Density | None = None

    def data(self) -> dict[str, Any]:
        """As plain data, for a JSON file."""
        data: dict[str, Any] = {
            name: getattr(self, name)
            for name in ("task", "encoding", "points", "outputs", "critical", "seconds")
        }
        if self.summary is not None and self.eigenvalues is not None:
            data["spectrum"] = self.summary.model_dump(mode="json")
            data["eigenvalues"] = self.eigenvalues.tolist()
        if self.shares is not None:
            data["shares"] = self.shares.tolist()
        if self.leading is not None and self.density is not None:
            data["leading"] = self.leading.values.tolist()
            data["leading_bounds"] = self.leading.bounds.tolist()
            data["density_values"] = [row[~np.isnan(row)].tolist() for row in self.density.values]
            data["density_weights"] = [
                weights[~np.isnan(row)].tolist()
                for row, weights in zip(self.density.values, self.density.weights, strict=True)
            ]
        return data


def at_initialization(
    suite: Suite,
    registry: Registry,
    points: int | Literal["all"],
    outputs: Literal["trace", "full"],
    device: str,
    *,
    matrix_free: bool = False,
    split: Literal["none", "level", "feature"] = "none",
) -> Iterator[tuple[CellConfig, Callable[[], Initial]]]:
    """Yield the cells of a suite, each with a function that computes its kernel at initialization.

    Weights and points are drawn as by ``run_suite`` for the same suite, but the number of points
    may differ.

    Raises:
        SuiteError: the data of a task do not exist.
        EncbenchError: as raised by planning, building, ``check_parameters`` and
            ``ntk.empirical_ntk``.
    """
    cells = plan(suite, registry)
    refuse_missing_data(cells, registry)
    names = [
        unique_labels({ref.content: ref for ref in refs})
        for refs in ([cell.task for cell in cells], [cell.encoding for cell in cells])
    ]
    for cell in cells:

        def measure(cell: CellConfig = cell) -> Initial:
            streams = cell_streams(cell)
            task = build_task(cell, registry)
            with plugin_named(cell, task):
                model = build_model(cell, task, registry, streams).to(device)
                count = ntk_count(points, task)
                x = ntk_points_of(task, count, streams.generator("ntk"))
                check_parameters(model, x)
                began = time.perf_counter()
                loss = loss_name(task)
                critical, factor = None, cell.training.encoding_lr_factor
                if loss in CURVATURE:
                    critical = ntk.critical_learning_rate(model, x, loss, encoding_lr_factor=factor)
                found: dict[str, Any] = {}
                if matrix_free:
                    operator = ntk.operator(model, x, outputs=outputs)
                    found["leading"] = operator.top(min(LEADING, operator.shape[0] - 1))
                    found["density"] = operator.density()
                else:
                    summary, arrays = measure_spectrum(
                        model, x, outputs, "start", 0, leading=points == "all", split=split
                    )
                    found |= {"summary": summary, "eigenvalues": arrays["spectrum_start"]}
                    found["shares"] = arrays.get("levels_start")
                return Initial(
                    task=names[0][cell.task.content],
                    encoding=names[1][cell.encoding.content],
                    points=len(x),
                    outputs=outputs,
                    critical=critical,
                    seconds=time.perf_counter() - began,
                    **found,
                )

        yield cell, measure


@dataclass(frozen=True, eq=False)
class LossCurves:
    """The loss of full-batch gradient descent at one learning rate, measured and predicted."""

    factor: float
    lr: float
    """factor · lr_crit."""
    steps: np.ndarray
    """(T,) numbers of steps, from 0."""
    measured: np.ndarray
    """(T,) mean squared error over all points and outputs; NaN or infinite if it diverged."""
    predicted: np.ndarray
    """(T,) loss of the model linearized at the start (the paper's Eq. 5 and 7, discrete steps)."""
    parted: int | None
    """First of ``steps`` at which the two differ by more than 10 %; None if they never do."""
    held_out: np.ndarray | None = None
    """(T,) as ``measured``, at the points held out; None if the task holds out none."""
    held_out_predicted: np.ndarray | None = None
    """(T,) as ``predicted``, from the kernel between those points and the training points."""

    def data(self) -> dict[str, Any]:
        """As plain data, for a JSON file."""
        # JSON has neither infinity nor NaN
        curves = {
            name: [float(v) if np.isfinite(v) else str(v) for v in getattr(self, name)]
            for name in ("measured", "predicted", "held_out", "held_out_predicted")
            if getattr(self, name) is not None
        }
        return vars(self) | {"steps": self.steps.tolist()} | curves


def check_rates(factors: Sequence[float], steps: int) -> None:
    """Check the arguments of ``compare_dynamics``.

    Raises:
        ParameterError: a factor or the number of steps is not positive and finite.
    """
    if steps < 1 or not all(0 < factor < math.inf for factor in factors):
        given = ", ".join(f"{factor:g}" for factor in factors)
        raise ParameterError(
            f"steps and factors must be positive and finite, got {steps} and {given}"
        )


def compare_dynamics(
    model: Network,
    task: Task,
    factors: Sequence[float],
    steps: int,
    generator: torch.Generator,
    progress: Callable[[int], None] = lambda step: None,
) -> list[LossCurves]:
    """Train copies of a model in float64 by full-batch gradient descent, and predict each curve.

    If the task holds out points, the loss at these is also measured and predicted.

    Args:
        model: the model at initialization; not changed.
        task: a task with the squared error. All N points of one epoch are used, and all points
            held out; the kernel has (N·O)² entries.
        factors: learning rates as multiples of lr_crit = N·O / λ_max of the full kernel.
        steps: number of steps of each training.
        generator: draws the points.
        progress: called after each step.

    Raises:
        ParameterError: the task's loss is not the squared error, or a factor is not positive
            and finite.
        NtkError: the kernel does not fit in memory.
        PluginError: the encoding has parameters that would not be trained.
    """
    loss = loss_name(task)
    if loss != "mse":
        raise ParameterError(
            "the kernel predicts training with the mean squared error alone; this task has "
            f"{'a loss of its own' if loss is None else f'the loss {loss!r}'}"
        )
    check_rates(factors, steps)
    drawn = epoch_of(task, generator)
    check_values(task, *drawn)
    x, y = (tensor.double() for tensor in drawn)
    check_parameters(model, x)
    held_out = held_out_of(task)
    if held_out is not None:
        held_out = held_out[0].double(), held_out[1].double()
    start = deepcopy(model)
    cast(start, torch.float64)  # complex weights, too, unlike double()
    kernel = ntk.empirical_ntk(start, x, outputs="full", parts=()).total
    critical = y.numel() / ntk.spectrum(kernel).maximum
    with torch.no_grad():
        residual = start(x) - y
        test: dict[str, Tensor] = {}
        if held_out is not None:
            cross = ntk.cross_ntk(start, held_out[0], x, outputs="full")
            test = {"cross": cross, "test_residual": start(held_out[0]) - held_out[1]}
    moments = np.unique(np.concatenate([[0], np.geomspace(1, steps, 60).round()])).astype(int)
    found = []
    for factor in factors:
        lr = factor * critical
        losses = _descend(deepcopy(start), (x, y), held_out, lr, moments, progress)
        measured, tested = losses.T
        prediction = ntk.predict_training(kernel, residual, moments, lr=lr, **test)
        predicted = prediction.loss
        with np.errstate(invalid="ignore", divide="ignore"):
            far = ~(np.abs(measured / predicted - 1) <= APART)
        parted = int(moments[far][0]) if far.any() else None
        curves = LossCurves(factor, lr, moments, measured, predicted, parted)
        if test:
            curves = replace(curves, held_out=tested, held_out_predicted=prediction.test_loss)
        found.append(curves)
    return found


def _descend(
    model: Network,
    trained: tuple[Tensor, Tensor],
    held_out: tuple[Tensor, Tensor] | None,
    lr: float,
    moments: np.ndarray,
    progress: Callable[[int], None],
) -> np.ndarray:
    """(T, 2) loss at the training points and at those held out (NaN if there are none), after each
    number of steps in ``moments``."""
    optimizer = torch.optim.SGD(model.parameters(), lr=lr)
    wanted, losses = set(moments.tolist()), []

    def error(x: Tensor, y: Tensor) -> Tensor:
        return torch.mean((model(x) - y) ** 2)

    for step in range(int(moments[-1]) + 1):
        optimizer.zero_grad()
        loss = error(*trained)
        if step in wanted:
            with torch.no_grad():
                other = error(*held_out).item() if held_out is not None else math.nan
            losses.append((loss.item(), other))
        loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        optimizer.step()
        progress(step)
    return np.asarray(losses)
