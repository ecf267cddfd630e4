"""The benchmark of an encoding: one network, four operations, each with its accuracy."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from encbench import ntk
from encbench.contracts.encoding import Encoding
from encbench.device import device_name, finish
from encbench.network.mlp import CoordinateMLP
from encbench.ntk.kernel import brute_force_ntk
from encbench.plugins.registry import default_registry
from encbench.results.provenance import Provenance
from encbench.suite.seeding import seeded
from encbench.training.optimizers import Sgd
from encbench.training.step import make_step

Operation = Literal["forward", "backward", "step", "ntk"]
OPERATIONS: tuple[Operation, ...] = ("forward", "backward", "step", "ntk")
OUT_DIM = 3
DEPTH = 2
TRAINING_STEPS = 100
CHECKED_POINTS = 8
"""Number of points at which the kernel is compared with J Jᵀ; fewer for large tables."""
JACOBIAN_BYTES = 1 << 28
LR_POINTS = 300
LR_FACTOR = 1.5
"""lr = LR_FACTOR · lr_crit, as in runs."""
SEED = 20


class BenchmarkCase:
    """A network with one encoding, and the operations to time.

    ``forward``: f(x), no gradients. ``backward``: the gradient of the loss in every parameter,
    without the forward pass. ``step``: one complete step of SGD. ``ntk``: the trace kernel in
    float64.

    Args:
        selector: NAME or NAME:KEY=VALUE,….
        device: cpu, cuda or cuda:N.
        points: N, number of points of a batch, random in [0, 1]^d; d = 2 if the encoding takes it.
        ntk_points: number of points of the kernel, also random.
        width: number of units of each of the two hidden layers.

    Raises:
        UsageError: the selector names no encoding, or does not fit it.
        PluginError: the encoding cannot be built; names its distribution.
    """

    def __init__(
        self,
        selector: str,
        *,
        device: str = "cpu",
        points: int = 1024,
        ntk_points: int = 128,
        width: int = 64,
    ) -> None:
        self.selector, self.device = selector, torch.device(device)
        offer, parameters, _ = default_registry().choose("encoding", selector)
        cls: type[Encoding] = offer.load()
        in_dim = min(max(2, cls.min_dim), cls.max_dim)
        with seeded(SEED):
            encoding = offer.call(lambda cls: cls(in_dim, **parameters))
            model = CoordinateMLP(encoding, OUT_DIM, width=width, depth=DEPTH)
            x = torch.rand(points, in_dim, dtype=torch.float64)
            self._ntk_x = torch.rand(ntk_points, in_dim, dtype=torch.float64)
        self.model = model.to(self.device)
        self._x64 = x.to(self.device)
        self._x = self._x64.float()
        self._y = _target(self._x64).float()
        self._settings = {
            "points": points,
            "ntk_points": ntk_points,
            "width": width,
            "depth": DEPTH,
            "in_dim": in_dim,
        }
        self._offer = offer

    def time(self, benchmark: Any, operation: Operation) -> None:
        """Time an operation with pytest-benchmark's fixture, and add its accuracy."""
        value, meaning = getattr(self, f"_accuracy_of_{operation}")()
        benchmark.group = operation
        benchmark.extra_info.update(
            encoding=self.selector,
            distribution=f"{self._offer.distribution} {self._offer.plugin.version}",
            operation=operation,
            parameters=self.model.parameter_counts(),
            accuracy=value,
            accuracy_means=meaning,
            conditions=conditions(self.device),
            settings=self._settings,
        )
        run: Callable[[], Any] = getattr(self, f"_{operation}")()

        def finished() -> None:
            run()
            finish(self.device)

        finished()
        benchmark(finished)

    def _forward(self) -> Callable[[], Any]:
        def forward() -> Tensor:
            with torch.inference_mode():
                out: Tensor = self.model(self._x)
            return out

        return forward

    def _backward(self) -> Callable[[], Any]:
        parameters = list(self.model.parameters())
        loss = F.mse_loss(self.model(self._x), self._y)
        return lambda: torch.autograd.grad(loss, parameters, retain_graph=True)

    def _step(self) -> Callable[[], Any]:
        return self._stepper(copy.deepcopy(self.model))

    def _ntk(self) -> Callable[[], Any]:
        return lambda: ntk.empirical_ntk(self.model, self._ntk_x)

    def _stepper(self, model: CoordinateMLP) -> Callable[[], Tensor]:
        lr = LR_FACTOR * ntk.critical_learning_rate(model, self._x64[:LR_POINTS])

        count = len(self._x)
        step = make_step(model, "mse", Sgd(), (lr, lr), self._x, points=count, batch_size=count)
        step.begin(self._x, self._y, torch.arange(count))
        return lambda: step(0, count)

    def _accuracy_of_forward(self) -> tuple[float, str]:
        with torch.no_grad():
            return _error(
                self.model(self._x), self._double()(self._x64)
            ), "relative error of float32 outputs"

    def _accuracy_of_backward(self) -> tuple[float, str]:
        def gradient(model: CoordinateMLP, x: Tensor) -> Tensor:
            loss = F.mse_loss(model(x), self._y.to(x.dtype))
            gradients = torch.autograd.grad(loss, list(model.parameters()))
            return torch.cat([part.to_dense().flatten() for part in gradients])

        error = _error(gradient(self.model, self._x), gradient(self._double(), self._x64))
        return error, "relative error of the float32 gradient"

    def _accuracy_of_step(self) -> tuple[float, str]:
        step = self._stepper(copy.deepcopy(self.model))
        for _ in range(TRAINING_STEPS):
            step()
        # a step returns the loss before its update
        loss = step().item()
        psnr = -10 * math.log10(loss) if loss > 0 else math.inf if loss == 0 else math.nan
        return psnr, f"on the batch after {TRAINING_STEPS} steps of training"

    def _accuracy_of_ntk(self) -> tuple[float, str]:
        model = self._double().cpu()
        point = 8 * OUT_DIM * sum(self.model.parameter_counts().values())
        x = self._ntk_x[: max(2, min(CHECKED_POINTS, JACOBIAN_BYTES // point))]
        expected = sum(brute_force_ntk(model, x).values())
        found = ntk.empirical_ntk(self.model, x, outputs="full").total.cpu()
        assert isinstance(expected, Tensor), "there are two parts"
        return _error(found, expected), f"relative error at {len(x)} points"

    def _double(self) -> CoordinateMLP:
        return copy.deepcopy(self.model).double()


def conditions(device: torch.device | str, threads: int | None = None) -> dict[str, str | int]:
    """The conditions under which timings can be compared: machine, processor, device, and threads,
    by default those of torch in this process."""
    device = torch.device(device)
    here = Provenance.collect(device_name(device), threads or torch.get_num_threads())
    return {
        "machine": here.machine,
        "processor": here.processor,
        "device": here.device,
        "threads": here.threads,
    }


def _target(x: Tensor) -> Tensor:  # (N, d) in [0, 1]^d -> (N, 3) in [0, 1]
    phase = 2 * math.pi * x.sum(1, keepdim=True)
    waves = torch.tensor([1.0, 2.0, 4.0], dtype=x.dtype, device=x.device)
    return 0.5 + 0.5 * torch.sin(waves * phase)


def _error(found: Tensor, expected: Tensor) -> float:
    return float((found.double() - expected).norm() / expected.norm())
