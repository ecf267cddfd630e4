"""The training loop: mini-batches of points, reshuffled each epoch, and the curves."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from encbench.contracts.encoding import Encoding
from encbench.contracts.network import in_encoding
from encbench.contracts.number import number
from encbench.contracts.optimizer import Optimizer, Schedule, factor_of
from encbench.contracts.task import (
    IN_TASK,
    Predict,
    Task,
    check_count,
    check_predicted,
    check_values,
    epoch_of,
)
from encbench.errors import ParameterError, bounded
from encbench.network.mlp import CoordinateMLP
from encbench.suite.config import MOST_STEPS, TrainingConfig
from encbench.training.bands import BandErrors, band_steps, bands_of
from encbench.training.layers import Layers, why_not_layerwise
from encbench.training.step import make_step

LOSS_INTERVALS = 512
"""Maximum number of points of the loss curve; a plot as wide as a page shows no more."""
CHECK_EVERY = 64
"""Steps between checks of the loss; reading it waits for the device."""
CHUNK = 1 << 11
"""Number of points predicted at once; hidden activations then fit in the processor's caches."""

Progress = Callable[[int, int, float], None]
"""Called with the number of steps done, the total number of steps, and the last loss."""


class Diverged(Exception):
    """The loss, a parameter or the curve became infinite or NaN.

    Not an error of encbench: it is a result, which the cell records.
    """

    def __init__(self, step: int, lr: float, what: str = "the loss") -> None:
        super().__init__(f"{what} was not finite at step {step} with lr {lr:.4g}")
        self.step = step


@dataclass
class Training:
    """The results of training besides the network: its length and its curves."""

    steps: int = 0
    epochs: float = 0.0
    loss_step: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)
    """Mean training loss over the steps from the previous ``loss_step`` to this one."""
    curve_step: list[int] = field(default_factory=list)
    curve: list[float] = field(default_factory=list)
    """The task's progress metric after ``curve_step`` steps; 0 is before training."""
    curve_seconds: list[float] = field(default_factory=list)
    """Time [s] of those steps and of drawing points for new epochs; evaluation is excluded."""
    bands: BandErrors | None = None
    """Errors by frequency, for tasks whose target lies on a regular grid."""
    points: int = 0
    """Number of points trained on; an epoch equal to the one before is not counted again."""
    batch_size: int = 0
    """Number of points of a step; the last one of an epoch may have fewer."""
    how: str = ""
    """Method of computing a step, and the reason if it is not the fastest one."""

    def arrays(self) -> dict[str, np.ndarray]:
        """The curves as float64 arrays, by their names in a record."""
        curves = {
            name: np.asarray(getattr(self, name), dtype=np.float64)
            for name in ("loss_step", "loss", "curve_step", "curve")
        }
        return curves | (self.bands.arrays() if self.bands else {})

    def best(self, *, higher: bool = True) -> tuple[float, int] | tuple[None, None]:
        """The best value of the curve and its step; None if all values are NaN.

        Args:
            higher: whether higher values are better.
        """
        values = np.asarray(self.curve, dtype=np.float64)
        if np.isnan(values).all():
            return None, None
        index = int(np.nanargmax(values) if higher else np.nanargmin(values))
        return self.curve[index], self.curve_step[index]


def predictor(model: nn.Module, task: Task) -> Predict:
    """The trained function from coordinates to outputs on the CPU, evaluated in chunks."""
    device = next(model.parameters()).device
    layers = (
        Layers(model)
        if isinstance(model, CoordinateMLP) and why_not_layerwise(model) is None
        else None
    )

    def function(x: Tensor) -> Tensor:  # (n, d) -> (n, O)
        if layers is None or not isinstance(model, CoordinateMLP):
            out: Tensor = model(x)
            return out
        with in_encoding():
            features = model.encoding(x)
        return layers.forward(features, train=False)

    @torch.inference_mode()
    def predict(x: Tensor) -> Tensor:  # (N, d) float64 -> (N, O) float32
        check_predicted(task, x)
        parts = []
        for chunk in torch.split(x, CHUNK):
            out = function(chunk.to(device, torch.float32))
            parts.append((out.sigmoid() if task.loss == "bce" else out).to("cpu", copy=True))
        return torch.cat(parts)

    return predict


def batch_of(config: TrainingConfig, points: int) -> int:
    """Number of points of a step: the batch size, or those of an epoch if there are fewer."""
    return points if config.batch_size == "all" else min(config.batch_size, points)


def total_steps(config: TrainingConfig, points: int) -> int:
    """Total number of optimizer steps.

    Raises:
        ParameterError: the epochs have more than ``MOST_STEPS`` steps.
    """
    batch = batch_of(config, points)
    if config.steps is not None:
        return config.steps
    assert config.epochs is not None, "planning sets epochs if steps are not given"
    steps = config.epochs * math.ceil(points / batch)
    if steps > MOST_STEPS:
        raise ParameterError(
            f"epochs = {config.epochs} are {steps} steps of {batch} points; expected at most "
            f"{MOST_STEPS} steps: train for fewer epochs, or give a larger batch_size"
        )
    return steps


def train(
    model: nn.Module,
    task: Task,
    config: TrainingConfig,
    lr: float,
    *,
    optimizer: Optimizer,
    schedule: Schedule,
    data: torch.Generator,
    batches: torch.Generator,
    progress: Progress = lambda done, total, loss: None,
    at_step: Mapping[int, Callable[[], None]] | None = None,
    following: Callable[[], AbstractContextManager[None]] = nullcontext,
    result: Training | None = None,
) -> Training:
    """Train a model in place.

    Args:
        model: maps coordinates to outputs.
        task: gives the points, the loss and the progress metric.
        config: batch size, length, and the factor of the encoding's learning rate.
        lr: the learning rate, a number even if ``config`` has "auto".
        optimizer: the optimizer of the steps.
        schedule: the learning rate over time, relative to ``lr``.
        data: generator that draws the points, for tasks with new points each epoch.
        batches: generator that shuffles them.
        progress: called at intervals.
        at_step: functions to call, by the number of steps after which they are called.
        following: creates a context around each evaluation of the progress metric, which does not
            count as training time.
        result: filled during training, and complete even if training stops early.

    Raises:
        Diverged: the loss or a parameter is not finite, or the curve's last value is NaN; names
            the step.
    """
    device = next(model.parameters()).device
    points = _Points(task, data, device)
    x, y = points.next()
    steps, batch = total_steps(config, len(x)), batch_of(config, len(x))
    step = make_step(
        model,
        task.loss,
        optimizer,
        (lr, lr * config.encoding_lr_factor),
        x,
        points=steps * batch,
        batch_size=batch,
    )
    predict = predictor(model, task)
    result = Training() if result is None else result
    result.how, result.batch_size = step.how, batch
    losses = torch.empty(steps, device=device)
    callbacks = dict(at_step or {})
    evaluate_at = spread_evaluations(steps, config.evaluations)
    stops = sorted({*evaluate_at, *callbacks, *range(CHECK_EVERY, steps, CHECK_EVERY), steps})
    banded: set[int] = set()
    with following():
        if (bands := bands_of(task)) is not None:
            result.bands = BandErrors(bands)
            banded = band_steps(sorted({0, *evaluate_at}), task, bands.grid, steps * batch)

    def follow(step: int) -> None:
        with following():
            once = _cached(predict)
            value = _number(task.progress_metric(once))
            if result.bands is not None and step in banded:
                result.bands.add(step, once(result.bands.bands.grid.x).numpy())
        result.curve_step.append(step)
        result.curve.append(value)
        result.curve_seconds.append(spent)

    spent = 0.0
    follow(0)
    done, at, checked = 0, len(x), 0
    try:
        for stop in stops:
            began = time.perf_counter()
            with _matmul_precision(config.matmul_precision):
                while done < stop:
                    if at >= len(x):
                        if done:
                            x, y = points.next()
                        step.begin(x, y, torch.randperm(len(x), generator=batches).to(device))
                        at = 0
                    stop_at = min(at + batch, len(x))
                    losses[done] = step(at, stop_at, factor_of(schedule, done, steps))
                    at += batch
                    done += 1
            finite = torch.isfinite(losses[checked:done])
            all_finite = bool(finite.all())  # waits for the device
            spent += time.perf_counter() - began
            if not all_finite:
                done = checked + int((~finite).nonzero()[0])
                raise Diverged(done + 1, lr)
            checked = done
            progress(done, steps, float(losses[done - 1]))
            if done in evaluate_at or done in callbacks or done == steps:
                step.settle()
            if done in evaluate_at:
                follow(done)
            # the last update can diverge although its loss was still finite
            if (done in callbacks or done == steps) and not _is_finite(model):
                raise Diverged(done, lr, "a parameter")
            if done in callbacks:
                callbacks[done]()
    finally:
        step.settle()
        model.zero_grad()
        result.how = "; ".join([step.how, *_fallbacks(model)])
        result.points = points.count
        _finish(result, losses, done, len(x), batch)
    if math.isnan(result.curve[-1]):
        # finite parameters may still give infinite predictions
        raise Diverged(steps, lr, task.curve or "the curve")
    return result


def _fallbacks(model: nn.Module) -> list[str]:
    """The encodings' reasons for computing features more slowly than they could."""
    encodings = (module for module in model.modules() if isinstance(module, Encoding))
    return list(dict.fromkeys(str(each.fallback) for each in encodings if each.fallback))


@contextmanager
def _matmul_precision(precision: str) -> Iterator[None]:
    """Set torch's precision for training steps; evaluation keeps the previous one."""
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(precision)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _number(value: Any) -> float:
    try:
        return number(value)
    except TypeError:
        got = bounded(repr(value), 100)
        error = TypeError(f"progress_metric returned {got}, expected a number")
        error.add_note(IN_TASK)
        raise error from None


class _Points:
    """The points of each epoch on the device; the same tensors if they have not changed."""

    def __init__(self, task: Task, generator: torch.Generator, device: torch.device) -> None:
        self._task, self._generator, self._device = task, generator, device
        self._drawn: list[Tensor] = []
        self.count = 0

    def next(self) -> tuple[Tensor, Tensor]:
        drawn = epoch_of(self._task, self._generator)
        if not self._drawn or not all(map(torch.equal, drawn, self._drawn)):
            check_count(self._task, len(drawn[0]))
            check_values(self._task, *drawn)
            # copies: a task may refill the same tensors
            self._drawn = [tensor.clone() for tensor in drawn]
            self.count += len(drawn[0])
            x, y = (tensor.to(self._device, torch.float32) for tensor in self._drawn)
            self._here = x, y
        return self._here


def _cached(predict: Predict) -> Predict:
    """The same function with its last result cached, for repeated calls with one tensor."""
    last: list[Tensor] = []

    def once(x: Tensor) -> Tensor:
        if not last or last[0] is not x:
            last[:] = [x, predict(x)]
        # a copy: a task may change the tensor in place
        return last[1].clone()

    return once


def _is_finite(model: nn.Module) -> bool:
    return all(bool(torch.isfinite(parameter).all()) for parameter in model.parameters())


def spread_evaluations(steps: int, count: int) -> set[int]:
    """At most ``count`` steps up to the last, denser at the start, where the curve is steep."""
    if count >= 2 * steps:
        return set(range(1, steps + 1))  # then adjacent fractions are less than a step apart
    fractions = np.linspace(0, 1, count + 1)[1:] ** 2
    return {max(1, round(steps * fraction)) for fraction in fractions}


def _finish(result: Training, losses: Tensor, steps: int, points: int, batch: int) -> None:
    result.steps = steps
    result.epochs = steps / math.ceil(points / batch)
    values = losses[:steps].double().cpu().numpy()
    edges = np.unique(np.linspace(0, steps, LOSS_INTERVALS + 1).round().astype(int))
    for start, stop in itertools.pairwise(edges):
        result.loss_step.append(int(stop))
        result.loss.append(float(values[start:stop].mean()))
