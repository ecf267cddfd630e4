"""One cell of the cross product, from configuration to record; failures are recorded."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import torch

from encbench.contracts.metric import Metric, MetricValue
from encbench.contracts.task import Outcome
from encbench.ntk.linearized import critical_learning_rate
from encbench.plugins.registry import Registry
from encbench.results.provenance import Provenance, now
from encbench.results.records import CellResult, ErrorInfo, LearningRate, Record, Status
from encbench.run.interface import Event
from encbench.run.limits import CellStopped, CellTimedOut, Interrupted, MemoryExceeded
from encbench.run.memory import peak_memory_bytes, reset_peak_memory
from encbench.run.parts import (
    build_model,
    build_task,
    call_plugin,
    cell_streams,
    failed_plugin,
    lacks_memory,
)
from encbench.run.signals import Supervision
from encbench.run.spectra import measure_spectrum
from encbench.suite.config import CellConfig, cell_key
from encbench.training.loop import Diverged, Training, predictor, total_steps, train
from encbench.training.optimizers import load_optimizers

LR_POINTS = 300
"""Points from which lr_crit is estimated; learning rates from 300 random points converged."""
ADAM_LR = 1e-3
"""Adam's usual rate, for weights of standard parameterization."""

STOPPED: dict[type[CellStopped], Status] = {
    CellTimedOut: "timeout",
    MemoryExceeded: "out_of_memory",
    Interrupted: "interrupted",
}


def run_cell(
    cell: CellConfig,
    registry: Registry,
    *,
    device: str = "cpu",
    threads: int = 1,
    watch: Callable[[Event], None] = lambda event: None,
    supervision: Supervision | None = None,
) -> CellResult:
    """Train one network and measure it.

    Whatever goes wrong is in the record: status, phase, exception and traceback, with the curves
    and spectra taken until then. Only KeyboardInterrupt passes through.

    Args:
        cell: what to run.
        registry: where its encoding and its task are found.
        device: "cpu", "cuda" or "cuda:N".
        threads: noted in the record; the caller has set them.
        watch: called with progress.
        supervision: stops the cell at its limits, and when asked to from outside.
    """
    supervision = supervision or Supervision()
    run = _CellRun(cell, registry, torch.device(device), threads, watch)
    try:
        with supervision.running():
            run.everything()
    except Diverged as error:
        run.stop("diverged", error, step=error.step)
    except CellStopped as reason:
        run.stop(STOPPED[type(reason)], reason)
    except (Exception, SystemExit) as error:
        run.stop("out_of_memory" if lacks_memory(error) else "failed", error)
    return run.result()


class _CellRun:
    """The phases of a cell, and their results so far."""

    def __init__(
        self,
        cell: CellConfig,
        registry: Registry,
        device: torch.device,
        threads: int,
        watch: Callable[[Event], None],
    ) -> None:
        self.cell = cell
        self.registry = registry
        self.device = device
        self.watch = watch
        self.streams = cell_streams(cell)
        self.training = Training()
        self.arrays: dict[str, np.ndarray] = {}
        self.pictures: dict[str, np.ndarray] = {}
        self.phase = "setup"
        self.inner = 0.0
        self.higher_is_better = True
        load_optimizers()
        reset_peak_memory(device)
        name = torch.cuda.get_device_name(device) if device.type == "cuda" else device.type
        self.record = Record(
            key=cell_key(cell),
            status="ok",
            cell=cell,
            provenance=Provenance.collect(name, threads),
        )

    def everything(self) -> None:
        """Setup, training with spectra, evaluation."""
        with self._timed("setup"):
            self.task = build_task(self.cell, self.registry)
            self.record.curve = self.task.curve
            self.higher_is_better = self._direction(self.task.curve) == "higher"
            self.record.in_dim, self.record.out_dim = self.task.in_dim, self.task.out_dim
            model = build_model(self.cell, self.task, self.registry, self.streams)
            self.model = model.to(self.device)
            network = self.cell.network
            assert network.width is not None, "planning fills in the width"
            assert network.depth is not None, "planning fills in the depth"
            self.record.network = {"width": network.width, "depth": network.depth}
            self.record.activation = str(model.activation)
            self.record.parameters = model.parameter_counts()
            self.record.learning_rate = self._learning_rate()
        steps = total_steps(self.cell.training, self.task.points_per_epoch, self.task)
        if self.cell.ntk.points:
            generator = self.streams.generator("ntk")
            self.ntk_points = self.task.ntk_points(self.cell.ntk.points, generator)
            self._spectrum("start", 0)
        with self._timed("training"):
            middle = steps // 2
            at_step = {middle: lambda: self._spectrum("middle", middle)}
            train(
                self.model,
                self.task,
                self.cell.training,
                self.record.learning_rate.value,
                data=self.streams.generator("data"),
                batches=self.streams.generator("batches"),
                progress=self._progress,
                at_step=at_step if self.cell.ntk.points and middle else None,
                following=lambda: self._timed("curve", announced=False),
                result=self.training,
            )
        if self.cell.ntk.points:
            self._spectrum("end", steps)
        with self._timed("evaluation"):
            outcome = self.task.evaluate(predictor(self.model, self.task))
            self.pictures.update(outcome.pictures)
            self.arrays.update(outcome.arrays)
            self.record.metrics = self._metrics(outcome)

    def stop(self, status: Status, error: BaseException, step: int | None = None) -> None:
        """Record why the cell did not get to its end."""
        self.record.status = status
        self.record.phase = self.phase
        expected = status == "diverged" or isinstance(error, CellStopped)
        task = getattr(self, "task", None)
        whose = "" if expected else failed_plugin(error, self.cell, task)
        text = str(error) or type(error).__name__
        self.record.error = ErrorInfo(
            type=type(error).__name__,
            message=f"{whose}{type(error).__name__}: {text}" if whose else text,
            traceback="".join(traceback.format_exception(error)),
            step=step,
        )

    def result(self) -> CellResult:
        """Everything measured, whether the cell got to its end or not."""
        record = self.record
        record.steps = self.training.steps
        record.epochs = self.training.epochs
        record.best, record.best_step = self.training.best(higher=self.higher_is_better)
        record.peak_memory_bytes = peak_memory_bytes(self.device)
        record.provenance.finished = now()
        curves = self.training.arrays() if self.training.loss else {}
        return CellResult(record, {**self.arrays, **curves}, self.pictures)

    def _learning_rate(self) -> LearningRate:
        config = self.cell.training
        generator = self.streams.generator("ntk")
        x = self.task.ntk_points(LR_POINTS, generator)
        critical = critical_learning_rate(self.model, x, loss=self.task.loss)
        if config.lr != "auto":
            return LearningRate(value=config.lr, critical=critical, rule="given")
        if config.optimizer == "adam":
            ntk_weights = self.cell.network.parameterization == "ntk"
            width = self.record.network["width"]
            value = ADAM_LR * width**0.5 if ntk_weights else ADAM_LR
        else:
            value = config.lr_factor * critical
        return LearningRate(value=value, critical=critical, rule="auto")

    def _spectrum(self, when: Literal["start", "middle", "end"], step: int) -> None:
        with self._timed("ntk"):
            summary, eigenvalues = measure_spectrum(
                self.model, self.ntk_points, self.cell.ntk.outputs, when, step
            )
            self.record.spectra.append(summary)
            self.arrays.update(eigenvalues)

    def _direction(self, metric: str) -> Literal["higher", "lower"]:
        """Which values of a metric are better; "higher" for one that no plug-in offers."""
        for offer in self.registry.offers("metric"):
            if offer.name == metric:
                direction: Literal["higher", "lower"] = offer.load().direction
                return direction
        return "higher"

    def _metrics(self, outcome: Outcome) -> dict[str, MetricValue]:
        values = {}
        for offer in self.registry.offers("metric"):
            metric: Metric = call_plugin(offer, lambda cls: cls())
            if metric.kind not in outcome.comparisons:
                continue
            prediction, truth = outcome.comparisons[metric.kind]
            values[offer.name] = metric(prediction, truth)
        return values

    def _progress(self, done: int, total: int, loss: float) -> None:
        self.watch(Event(self.record.key, "training", done, total, loss))

    @contextmanager
    def _timed(self, phase: str, *, announced: bool = True) -> Iterator[None]:
        """Inside, the cell is in a phase; its time goes to ``record.durations``."""
        outer, self.phase = self.phase, phase
        before, self.inner = self.inner, 0.0
        if announced:
            self.watch(Event(self.record.key, phase))
        start = time.perf_counter()
        try:
            yield
            self.phase = outer
        finally:
            # an error leaves self.phase at where it happened
            spent = time.perf_counter() - start
            durations = self.record.durations
            # without the phases inside this one, which are counted by themselves
            durations[phase] = durations.get(phase, 0.0) + spent - self.inner
            self.inner = before + spent
