"""The checks of tasks."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from operator import methodcaller
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import Tensor

from encbench.contracts.metric import Metric
from encbench.contracts.outcome import Outcome
from encbench.contracts.task import NetworkDefaults, Task, loss_name
from encbench.errors import PluginError
from encbench.network.mlp import CoordinateMLP
from encbench.plugins.registry import default_registry
from encbench.suite.config import TrainingConfig
from encbench.suite.seeding import seeded
from encbench.testing.conformance import Conformance, call_in_worker, fail, require, skip
from encbench.testing.module_checks import SEED, Coordinates, no_random_numbers
from encbench.training.loop import train
from encbench.training.losses import OwnLoss
from encbench.training.optimizers import Sgd
from encbench.training.schedules import Constant


def _network(task: Task) -> CoordinateMLP:
    """A small network with the task's activation."""
    activation = task.network.activation or "relu"
    with seeded(SEED):
        return CoordinateMLP(
            Coordinates(task.in_dim), task.out_dim, width=16, depth=1, activation=activation
        )


class TaskConformance(Conformance):
    """Checks that a task keeps the contract of ``encbench.Task``.

    Set ``task`` to the class and ``parameters`` to a small target. All random numbers come from
    fixed seeds.
    """

    kind = "task"
    task: ClassVar[type[Task] | None] = None
    """The class to check."""

    def test_it_is_documented(self) -> None:
        """A docstring says what is learned."""
        self.advise_docstring()

    def test_targets(self) -> None:
        """targets() gives sets of parameters that the task takes."""
        targets = self._targets()
        built = self.build(targets[0])
        self.require_sizes(built, "set it in the class or in __init__")
        require(
            isinstance(built.network, NetworkDefaults)
            and min(built.network.width, built.network.depth) >= 1,
            f"network is {built.network!r}; give NetworkDefaults(width=…, depth=…)",
        )
        try:
            loss_name(built)
        except TypeError as error:
            fail(str(error))
        require(
            isinstance(built.curve, str) and bool(built.curve),
            f"curve is {built.curve!r}; name what progress_metric returns, such as 'psnr'",
        )

    def test_data_hash(self) -> None:
        """The data hash is a SHA-256, the same each time and in each process."""
        target = self._targets()[0]
        first, second = (self._call("data_hash", self.subject.data_hash, target) for _ in "12")
        require(
            isinstance(first, str) and re.fullmatch("[0-9a-f]{64}", first) is not None,
            f"data_hash returned {first!r}; return hashlib.sha256(data).hexdigest()",
        )
        there = call_in_worker(methodcaller("data_hash", **target), self.subject)
        require(
            first == second == there,
            "data_hash differs from call to call or from process to process; hash the data's "
            "bytes: Python's hash() is salted, and times and paths are not the data",
        )

    def test_epoch(self) -> None:
        """An epoch is float64 points in [0, 1] and float32 values, drawn from its generator."""
        task = self.build()
        with no_random_numbers(
            "epoch draws from torch's global generator; draw from the one it is given"
        ):
            x, y = self._epoch(task)
        count = task.points_per_epoch
        for name, found, width, dtype in (
            ("x", x, task.in_dim, torch.float64),
            ("y", y, task.out_dim, torch.float32),
        ):
            require(
                tuple(found.shape) == (count, width) and found.dtype == dtype,
                f"epoch gave {name} of shape {tuple(found.shape)}, {found.dtype}; expected "
                f"(points_per_epoch, {'in_dim' if name == 'x' else 'out_dim'}) = "
                f"({count}, {width}), {dtype}",
            )
            require(bool(torch.isfinite(found).all()), f"epoch gave {name} that is not finite")
        require(
            float(x.min()) >= 0 and float(x.max()) <= 1,
            f"x reaches from {float(x.min()):.6g} to {float(x.max()):.6g}; scale coordinates to "
            "[0, 1], where encodings are defined",
        )
        if task.loss == "bce":
            require(
                float(y.min()) >= 0 and float(y.max()) <= 1,
                "loss is 'bce' and y leaves [0, 1]; y is the probability to be learned",
            )
        again = self._epoch(self.build())
        require(
            torch.equal(x, again[0]) and torch.equal(y, again[1]),
            "two tasks of the same parameters and generator seed give different epochs; let all "
            "randomness come from the generator",
        )

    def test_it_changes_nothing_that_others_share(self) -> None:
        """Torch's settings and the working directory stay as they are."""

        def use() -> None:
            task = self.build()
            task.epoch(torch.Generator().manual_seed(SEED))
            task.evaluate(self._predict(task, 0.5))

        self.require_nothing_changed(use)

    def test_ntk_points(self) -> None:
        """ntk_points gives distinct points, at most as many as asked for."""
        task = self.build()
        for count in (1, 5, 2 * task.points_per_epoch):
            points = task.ntk_points(count, torch.Generator().manual_seed(SEED))
            require(
                points.ndim == 2
                and points.shape[1] == task.in_dim
                and points.dtype == torch.float64
                and 1 <= len(points) <= count,
                f"ntk_points({count}) gave {tuple(points.shape)}, {points.dtype}; expected at "
                f"most ({count}, {task.in_dim}) of float64",
            )
            require(
                len(torch.unique(points, dim=0)) == len(points),
                f"ntk_points({count}) gave a point twice: two equal rows make the kernel singular",
            )

    def test_progress(self) -> None:
        """progress_metric is a number, and nan for a network that has diverged."""
        task = self.build()
        value = task.progress_metric(self._predict(task, 0.5))
        require(
            isinstance(value, float) and not math.isnan(value),
            f"progress_metric gave {value!r} for the constant 0.5, expected a float",
        )
        lost = task.progress_metric(self._predict(task, math.nan))
        require(
            isinstance(lost, float) and math.isnan(lost),
            f"progress_metric gave {lost!r} for predictions of nan, expected nan; clipping, max "
            "and comparisons hide nan, and the run could not tell that it diverged",
        )

    def test_regular_grid(self) -> None:
        """regular_grid, if there is one, holds the centres of equal cells and finite values."""
        task = self.build()
        grid = task.regular_grid()
        if grid is None:
            skip("the task's points form no regular grid")
        *shape, channels = grid.truth.shape
        require(
            (len(shape), channels) == (task.in_dim, task.out_dim),
            f"regular_grid gave truth of shape {grid.truth.shape}; expected in_dim = {task.in_dim} "
            f"axes of cells, and out_dim = {task.out_dim} channels",
        )
        require(bool(np.isfinite(grid.truth).all()), "regular_grid gave values that are not finite")
        places = grid.x.numpy().reshape(*shape, task.in_dim)
        expected = set(range(task.in_dim))
        sides = grid.sides or (1.0,) * len(shape)
        for axis, (count, side) in enumerate(zip(shape, sides, strict=True)):
            centres = side * (np.arange(count) + 0.5) / count
            centres = np.expand_dims(centres, [one for one in range(len(shape)) if one != axis])
            along = []
            for n in expected:
                low = places[..., n].min() - side / 2 / count
                inside = -1e-9 <= low <= 1 - side + 1e-9
                if inside and np.allclose(places[..., n], low + centres, 0, 1e-9):
                    along.append(n)
            where = "[0, 1]" if grid.sides is None else f"a side of {side:g} within [0, 1]"
            require(
                bool(along),
                f"along axis {axis} of regular_grid's truth no coordinate of x grows as "
                f"(i + ½) / {count}; the points are the centres of equal cells of {where}",
            )
            expected -= {along[0]}

    def test_evaluation(self) -> None:
        """evaluate gives what an installed metric measures, and uint8 pictures."""
        task = self.build()
        # an Outcome refuses pictures that no record can hold
        outcome = task.evaluate(self._predict(task, 0.5))
        require(
            isinstance(outcome, Outcome) and bool(outcome.comparisons),
            f"evaluate returned {outcome!r:.100}; return Outcome(comparisons={{kind: "
            "(prediction, truth)}}, pictures={…})",
        )
        metrics: dict[str, Metric] = {
            name: offer.load()() for name, offer in default_registry().named("metric").items()
        }
        kinds = {metric.kind for metric in metrics.values()}
        every = {"evaluate": outcome.comparisons, **outcome.baselines}
        require(
            bool((kinds | metrics.keys()) & outcome.comparisons.keys()),
            f"no installed metric measures {', '.join(map(repr, outcome.comparisons))}; there are "
            f"metrics for {', '.join(map(repr, sorted(kinds)))}: use one of these kinds, or offer "
            "a metric of yours through encbench_metrics()",
        )
        for source, comparisons in every.items():
            for name, metric in metrics.items():
                compared = comparisons.get(name, comparisons.get(metric.kind))
                if compared is None:
                    continue
                try:
                    metric(*compared)
                except Exception as error:
                    fail(
                        f"the metric {name!r} cannot measure the comparison {metric.kind!r} of "
                        f"{source}: {type(error).__name__}: {error}"
                    )

    def test_a_loss_of_its_own(self) -> None:
        """A loss of its own is a finite scalar with a gradient, and changes nothing."""
        task = self.build()
        if loss_name(task) is not None:
            skip(f"the loss is {task.loss!r}, which is encbench's")
        model = _network(task)
        state = {name: value.clone() for name, value in model.state_dict().items()}
        modes = [module.training for module in model.modules()]
        x, y = (tensor[:32].float() for tensor in self._epoch(task))
        batch = x.clone(), y.clone()
        try:
            loss = OwnLoss(cast("Callable[..., Tensor]", task.loss))(model, x, y)
            loss.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped
        except PluginError as error:
            fail(str(error))
        except Exception as error:
            fail(f"loss(model, x, y) raised {type(error).__name__}: {error}")
        require(
            any(bool(p.grad.any()) for p in model.parameters() if p.grad is not None),
            f"the gradient of loss is zero for every parameter of a network of {model.activation}; "
            "where loss has second derivatives, a smooth activation is needed: "
            "network = NetworkDefaults(width=…, depth=…, activation='tanh')",
        )
        require(
            state.keys() == model.state_dict().keys()
            and all(torch.equal(state[name], value) for name, value in model.state_dict().items())
            and modes == [module.training for module in model.modules()]
            and all(parameter.requires_grad for parameter in model.parameters()),
            "loss changes the model: its weights, buffers, training mode or requires_grad; leave "
            "the model as it is",
        )
        require(
            torch.equal(batch[0], x) and torch.equal(batch[1], y),
            "loss changes x or y, which later epochs may use again; compute with copies",
        )

    def test_a_network_trains_on_it(self) -> None:
        """A network trains on it for a few steps."""
        task = self.build()
        model = _network(task)
        batch = min(32, task.points_per_epoch)
        config = TrainingConfig(steps=3, batch_size=batch, evaluations=1)
        result = train(
            model,
            task,
            config,
            1e-3,
            optimizer=Sgd(),
            schedule=Constant(),
            data=torch.Generator().manual_seed(SEED),
            batches=torch.Generator().manual_seed(SEED),
        )
        require(
            result.steps == 3 and all(map(math.isfinite, result.loss)),
            f"three small steps of training gave the losses {result.loss}",
        )

    def build(self, target: dict[str, Any] | None = None) -> Task:
        """Build the task with the given target, or with its first one."""
        values = self._targets()[0] if target is None else target
        task = self._call(self.subject.__name__, self.subject, values)
        require(
            isinstance(task, Task),
            f"{self.subject.__name__} is not a subclass of encbench.Task; derive it from that",
        )
        return task  # type: ignore[no-any-return] # just checked

    def _targets(self) -> list[dict[str, Any]]:
        targets = self._call("targets", self.subject.targets, self.validated())
        require(
            isinstance(targets, list) and bool(targets) and isinstance(targets[0], dict),
            f"targets returned {targets!r:.100}; return a list of parameters, at least one set",
        )
        return targets  # type: ignore[no-any-return] # just checked

    @staticmethod
    def _call(name: str, function: Any, values: dict[str, Any]) -> Any:
        try:
            return function(**values)
        except Exception as error:
            fail(f"{name}(**{values}) raised {type(error).__name__}: {error}")

    @staticmethod
    def _epoch(task: Task) -> tuple[Tensor, Tensor]:
        epoch = task.epoch(torch.Generator().manual_seed(SEED))
        require(
            isinstance(epoch, tuple) and len(epoch) == 2,
            f"epoch returned {type(epoch).__name__}, expected the tuple (x, y)",
        )
        return epoch

    @staticmethod
    def _predict(task: Task, value: float) -> Any:
        def predict(x: Tensor) -> Tensor:
            require(
                isinstance(x, Tensor)
                and x.ndim == 2
                and x.shape[1] == task.in_dim
                and x.dtype == torch.float64
                and bool(((x >= 0) & (x <= 1)).all()),
                "the task called predict with something else than (N, in_dim) float64 in [0, 1]",
            )
            return torch.full((len(x), task.out_dim), value, dtype=torch.float32)

        return predict
