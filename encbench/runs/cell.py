"""Run one cell of the cross product, from configuration to record; failures are recorded."""

from __future__ import annotations

import logging
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from typing import Literal

import numpy as np
import torch

from encbench.contracts.optimizer import factor_of
from encbench.contracts.task import CURVATURE, loss_name, ntk_points_of, outcome_of
from encbench.device import (
    device_name,
    lacks_memory,
    peak_memory_bytes,
    reset_peak_memory,
    return_memory,
)
from encbench.errors import EncbenchError, NtkError, bounded, error_line
from encbench.ntk.linearized import critical_learning_rate
from encbench.ntk.model import PROBE, check_output, working_copy
from encbench.plugins.isolation import output_to_stderr, process_state_kept
from encbench.plugins.parameters import parameters_of
from encbench.plugins.registry import Registry
from encbench.results.kernel_summary import SpectrumSummary
from encbench.results.provenance import Provenance, now
from encbench.results.records import CellResult, ErrorInfo, LearningRate, Record, Status
from encbench.runs.interface import Event, RunOptions, Watch, this_process
from encbench.runs.kernel_target import (
    KernelTarget,
    add_measured,
    predicted_training,
    target_values,
)
from encbench.runs.limits import CellStopped, Supervision, by_a_person
from encbench.runs.parts import (
    build_model,
    build_task,
    build_training,
    cell_streams,
    direction_of,
    failed_plugin,
    metric_results,
)
from encbench.runs.spectra import measure_spectrum, ntk_count
from encbench.runs.weights import weights_of
from encbench.suite.cell_defaults import check_automatic_rate
from encbench.suite.config import CellConfig, cell_key
from encbench.suite.seeding import all_seeded, random_states, set_random_states
from encbench.training.gradients import check_created, check_parameters
from encbench.training.loop import Diverged, Training, predictor, total_steps, train
from encbench.training.optimizers import load_optimizers, usual_rate

LONGEST_MESSAGE, LONGEST_TRACEBACK = 4_000, 40_000
"""Maximum lengths of an error's message and traceback in a record [characters]."""
LR_POINTS = 300
"""Number of points from which lr_crit is estimated; training with these rates converged."""
MOST_HALVINGS = 8
"""Maximum number of halvings of an automatic rate. It is derived from the kernel at initialization,
which can grow a hundredfold within ten steps if the features start near zero, as in tables."""

logger = logging.getLogger("encbench")


def run_cell(
    cell: CellConfig,
    registry: Registry,
    options: RunOptions | None = None,
    *,
    watch: Watch = lambda event: None,
    supervision: Supervision | None = None,
) -> CellResult:
    """Train one network and measure it.

    Any failure is in the record: status, phase, exception and traceback, with the curves and
    spectra computed until then. Only Ctrl-C is raised. Torch and the random generators start in
    the state of a new process, whatever ran before, and are reset afterwards; only memory may stay
    in use (``encbench.runs.executors.worker.memory_as_new``).

    Args:
        cell: the cell to run.
        registry: registry with its encoding and its task.
        options: the device, the number of threads, which the caller has set, and whether the
            result includes the trained network.
        watch: called with progress.
        supervision: stops the cell at its limits, or on request from outside.
    """
    supervision, options = supervision or Supervision(), options or RunOptions()

    def watch_and_check(event: Event) -> None:
        supervision.check()
        watch(event)

    run = _CellRun(cell, registry, options, watch_and_check)
    seeded = all_seeded(run.streams.seed("weights"))
    with output_to_stderr(), process_state_kept(known=True), seeded:
        try:
            with supervision.running():
                run.everything()
                if options.save_weights:
                    run.keep_weights()
        except Diverged as error:
            run.stop("diverged", error, step=error.step)
        except CellStopped as reason:
            run.stop(reason.status, reason)
        except BaseException as error:
            if by_a_person(error):
                raise
            run.stop("out_of_memory" if lacks_memory(error) else "failed", error)
    result = run.result()
    return_memory()
    return result


def _clear_frames(error: BaseException | None) -> None:
    """Clear the frames of an exception, whose local variables may take most of the memory.

    Frames and exceptions refer to one another, so they could stay in memory for many cells.
    """
    seen: list[BaseException] = []
    while error is not None and error not in seen:
        traceback.clear_frames(error.__traceback__)
        seen.append(error)
        error = error.__cause__ or error.__context__


class _CellRun:
    """Runs the phases of a cell and keeps their results."""

    def __init__(
        self, cell: CellConfig, registry: Registry, options: RunOptions, watch: Watch
    ) -> None:
        self.cell = cell
        self.registry = registry
        self.device = torch.device(options.device)
        self.watch = watch
        self.streams = cell_streams(cell)
        self.training = Training()
        self.arrays: dict[str, np.ndarray] = {}
        self.pictures: dict[str, np.ndarray] = {}
        self.weights = b""
        self.phase = "setup"
        self.inner = 0.0
        self.higher_is_better = True
        load_optimizers()
        self.record = Record(
            key=cell_key(cell),
            status="ok",
            cell=cell,
            provenance=Provenance.collect(options.device, options.threads),
        )
        self.record.provenance.worker = this_process()
        self.record.provenance.matmul_precision = cell.training.matmul_precision

    def everything(self) -> None:
        """Setup, training with spectra, evaluation."""
        with self._timed("setup"):
            reset_peak_memory(self.device)
            self.record.provenance.device = device_name(self.device)
            self.task = build_task(self.cell, self.registry)
            self.record.own_loss = loss_name(self.task) is None
            names = [parameter.name for parameter in parameters_of(type(self.task))]
            self.record.splittable = "split" in names
            self.record.curve = self.task.curve
            points = self.task.curve_points
            self.record.curve_points = None if points is None else int(points)
            self.higher_is_better = direction_of(self.task.curve, self.registry) == "higher"
            self.record.in_dim, self.record.out_dim = int(self.task.in_dim), int(self.task.out_dim)
            self.before_weights = random_states()
            self._build()
            model, network = self.model, self.cell.network
            sizes = {"width": network.width, "depth": network.depth}
            self.record.network = {name: n for name, n in sizes.items() if n is not None}
            self.record.activation = None if model.activation is None else str(model.activation)
            check_created(model)
            self.record.parameters = model.parameter_counts()
            self.optimizer, self.schedule = build_training(self.cell, self.registry)
            self.rate_points = ntk_points_of(self.task, LR_POINTS, self.streams.generator("ntk"))
            check_parameters(model, self.rate_points)
            self.record.learning_rate = self._learning_rate()
            if network.kind != "mlp" or self.record.learning_rate.critical is None:
                self._check_rows()
        steps = total_steps(self.cell.training, self.task.points_per_epoch)
        if self.cell.ntk.points:
            generator = self.streams.generator("ntk")
            count = ntk_count(self.cell.ntk.points, self.task)
            self.ntk_points = ntk_points_of(self.task, count, generator)
            with self._timed("ntk"):
                y = target_values(self.task, self.ntk_points, self.streams.generator("ntk"))
                self.target = KernelTarget(self.task, y)
            self._spectrum("start", 0)
        while not self._trained(steps, self.record.learning_rate):
            self._begin_again(self.record.learning_rate)
        if self.cell.ntk.points:
            self._spectrum("end", steps)
        with self._timed("evaluation"):
            outcome = outcome_of(self.task, predictor(self.model, self.task))
            self.pictures.update(outcome.pictures)
            self.arrays |= {**outcome.arrays, **outcome.line_arrays()}
            self.record.line_titles = {
                name: (bounded(x, 100), bounded(y, 100))
                for name, (x, y) in outcome.line_titles.items()
            }
            said: set[str] = set()  # reasons of metrics that raise, each for all comparisons
            self.record.metrics = metric_results(
                outcome.comparisons, self.registry, self.cell, said
            )
            self.record.baselines = {
                bounded(" ".join(str(name).split()), 100): metric_results(
                    comparisons, self.registry, self.cell, said
                )
                for name, comparisons in outcome.baselines.items()
            }

    def _build(self) -> None:
        model = build_model(self.cell, self.task, self.registry, self.streams)
        self.model = model.to(self.device)
        self.counted = list(self.model.parameters())

    def keep_weights(self) -> None:
        """Serialize the trained network; warns if it is not made of tensors alone."""
        try:
            self.weights = weights_of(self.model)
        except (TypeError, ValueError) as error:
            logger.warning("%s: the weights are not kept: %s", self.cell.label, error_line(error))

    def _trained(self, steps: int, rate: LearningRate) -> bool:
        """Train; False if training diverged and a smaller automatic rate can be tried."""
        if self.cell.ntk.points:
            self._predict(steps, rate.value)
        middle = steps // 2
        at_step = {middle: lambda: self._spectrum("middle", middle)}
        descends = self.optimizer.lr_from_kernel(1.0) is not None and rate.rule == "auto"
        try:
            with self._timed("training"):
                train(
                    self.model,
                    self.task,
                    self.cell.training,
                    rate.value,
                    optimizer=self.optimizer,
                    schedule=self.schedule,
                    data=self.streams.generator("data"),
                    batches=self.streams.generator("batches"),
                    progress=lambda *at: self.watch(Event(self.record.key, "training", *at)),
                    at_step=at_step if self.cell.ntk.points and middle else None,
                    following=lambda: self._timed("curve", announced=False),
                    result=self.training,
                )
                # forward may do so only with gradients, or in a later call
                check_created(self.model, self.counted)
        except Diverged:
            if descends and rate.halvings < MOST_HALVINGS and self.training.steps:
                return False
            raise
        return True

    def _begin_again(self, rate: LearningRate) -> None:
        """Reset the network and halve the rate; the time spent so far counts as "setup"."""
        record, durations = self.record, self.record.durations
        record.learning_rate = rate.model_copy(
            update={"value": rate.value / 2, "halvings": rate.halvings + 1}
        )
        record.spectra = [spectrum for spectrum in record.spectra if spectrum.when == "start"]
        for spectrum in record.spectra:
            self._set_rate(spectrum, rate.value / 2)
        self.arrays = {k: v for k, v in self.arrays.items() if not k.endswith("_middle")}
        self.training = Training()
        for phase in ("training", "curve"):
            durations["setup"] += durations.pop(phase, 0.0)
        self.phase = "setup"
        set_random_states(self.before_weights)
        self._build()

    def stop(self, status: Status, error: BaseException, step: int | None = None) -> None:
        """Record why the cell did not finish."""
        self.record.status = status
        self.record.phase = self.phase
        expected = status == "diverged" or isinstance(error, CellStopped)
        task = getattr(self, "task", None)
        whose = "" if expected else failed_plugin(error, self.cell, task)
        try:
            text = bounded(str(error), LONGEST_MESSAGE) or type(error).__name__
            trace = bounded("".join(traceback.format_exception(error)), LONGEST_TRACEBACK)
        except Exception:
            # converting the exception to text failed
            text, trace = error_line(error), ""
        _clear_frames(error)
        plain = isinstance(error, EncbenchError) or text.startswith(type(error).__name__)
        kind = "" if plain else f"{type(error).__name__}: "
        self.record.error = ErrorInfo(
            type=type(error).__name__,
            message=f"{whose} failed: {kind}{text}" if whose else text,
            traceback=trace,
            step=step,
        )

    def result(self) -> CellResult:
        """Everything measured, whether the cell finished or not."""
        record = self.record
        record.steps = self.training.steps
        record.epochs = self.training.epochs
        if record.linearized is not None and self.task.loss == "mse":
            add_measured(record.linearized, self.training.loss_step, self.training.loss)
        record.curve_seconds = tuple(round(spent, 3) for spent in self.training.curve_seconds)
        record.training_points = self.training.points or None
        record.batch_size = self.training.batch_size or None
        record.step_method = self.training.how or None
        record.best, record.best_step = self.training.best(higher=self.higher_is_better)
        record.peak_memory_bytes = peak_memory_bytes(self.device)
        record.provenance.finished = now()
        curves = self.training.arrays() if self.training.loss else {}
        try:
            record = Record.model_validate_json(record.model_dump_json())
        except ValueError as error:
            # a plug-in's value is not a text or number that JSON can hold: nothing of it is kept,
            # or the folder's pages could not be made
            record = self.record = Record(
                key=record.key, status="failed", cell=self.cell, provenance=record.provenance
            )
            self.phase = "record"
            self.stop("failed", error)
        return CellResult(record, {**self.arrays, **curves}, self.pictures, self.weights)

    def _learning_rate(self) -> LearningRate:
        config = self.cell.training
        critical = self._critical_rate()
        if config.lr != "auto":
            return LearningRate(value=config.lr, critical=critical, rule="given")
        asked = self.cell.task.shown
        check_automatic_rate(self.optimizer, config.optimizer, loss_name(self.task), asked)
        as_stable = None if critical is None else self.optimizer.lr_from_kernel(critical)
        if as_stable is not None:
            value = config.lr_factor * as_stable
        else:
            value = usual_rate(
                self.optimizer, self.cell.network, self.model.activation, self.model.usual_rate
            )
        return LearningRate(value=value, critical=critical, rule="auto")

    def _check_rows(self) -> None:
        """Refuse a model that mixes points, also if no kernel is computed that would show it."""
        x = self.rate_points[:: -(-len(self.rate_points) // PROBE)]
        try:
            model, points, _ = working_copy(self.model, x, torch.float64, self.device)
            check_output(model, points)
        except NtkError as error:
            if not isinstance(error.__cause__, RuntimeError):
                raise
            # it works in float32 alone, in which it is trained
            model, points, _ = working_copy(self.model, x, torch.float32, self.device)
            check_output(model, points)

    def _critical_rate(self) -> float | None:
        loss = loss_name(self.task)
        # lr_crit is not known for other losses
        if loss not in CURVATURE:
            return None
        return critical_learning_rate(
            self.model,
            self.rate_points,
            loss=loss,
            encoding_lr_factor=self.cell.training.encoding_lr_factor,
        )

    def _set_rate(self, spectrum: SpectrumSummary, rate: float) -> None:
        """Set the learning rate at a spectrum's step, and its ratio to the critical one."""
        steps = total_steps(self.cell.training, self.task.points_per_epoch)
        at = min(spectrum.step, steps - 1)
        spectrum.learning_rate = rate * factor_of(self.schedule, at, steps)
        critical = spectrum.critical_rate
        if critical is not None and self.optimizer.lr_from_kernel(1.0) is not None:
            spectrum.lr_ratio = spectrum.learning_rate / critical

    def _predict(self, steps: int, lr: float) -> None:
        with self._timed("ntk"):
            self.record.linearized, arrays = predicted_training(
                self.target,
                self.model,
                predictor(self.model, self.task),
                self.ntk_points,
                self.cell.training,
                (self.optimizer, self.schedule),
                lr,
                steps,
            )
            self.arrays |= arrays

    def _spectrum(self, when: Literal["start", "middle", "end"], step: int) -> None:
        rate = self.record.learning_rate
        assert rate is not None, "set-up has chosen it"
        with self._timed("ntk"):
            predict = predictor(self.model, self.task)
            summary, eigenvalues = measure_spectrum(
                self.model,
                self.ntk_points,
                self.cell.ntk.outputs,
                when,
                step,
                leading=self.cell.ntk.points == "all",
                relate=partial(self.target.relate, predict, self.ntk_points, when),
                split=self.cell.ntk.split,
            )
            summary.critical_rate = rate.critical if when == "start" else self._critical_rate()
            self._set_rate(summary, rate.value)
            self.record.spectra.append(summary)
            self.arrays.update(eigenvalues)

    @contextmanager
    def _timed(self, phase: str, *, announced: bool = True) -> Iterator[None]:
        """Run the block as a phase; its time is added to ``record.durations``."""
        outer, self.phase = self.phase, phase
        before, self.inner = self.inner, 0.0
        if announced:
            self.watch(Event(self.record.key, phase))
        start = time.perf_counter()
        try:
            yield
            self.phase = outer
        finally:
            # after an error, self.phase stays the phase in which it happened
            spent = time.perf_counter() - start
            durations = self.record.durations
            # without phases inside this one, which are counted separately
            durations[phase] = durations.get(phase, 0.0) + spent - self.inner
            self.inner = before + spent
