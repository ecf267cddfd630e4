"""A boundary value problem, learned from its equation alone."""

import hashlib
import math
from typing import Annotated

import torch
from pydantic import Field

from encbench import NetworkDefaults, Outcome, Task

from .relative_error import relative_error

GRID = 200


class Poisson(Task):
    """u'' = f on [0, 1], u(0) = u(1) = 0, for u = sin 2πx + ½ sin 2πkx.

    The loss is the mean of (u'' − f)² over random points, divided by the mean of f², and a
    hundred times the mean of u² at both ends. The network never sees u.
    """

    in_dim = 1
    out_dim = 1
    # ReLU has no second derivative
    network = NetworkDefaults(width=64, depth=2, activation="tanh")
    training = {"optimizer": "adam", "schedule": "cosine", "batch_size": 64, "steps": 2000}
    curve = "relative_error"
    curve_points = GRID

    def __init__(
        self,
        *,
        waves: Annotated[int, Field(ge=1, le=32, description="k, periods of the fast part")] = 2,
        points: Annotated[int, Field(ge=2, description="points of an epoch")] = 256,
    ):
        self.waves = waves
        self.points = points

    @classmethod
    def data_hash(cls, **parameters):
        return hashlib.sha256(f"poisson {sorted(parameters.items())}".encode()).hexdigest()

    @classmethod
    def derivatives(cls, **parameters):
        return 2

    @property
    def points_per_epoch(self):
        return self.points

    def solution(self, x):
        return torch.sin(2 * math.pi * x) + torch.sin(2 * math.pi * self.waves * x) / 2

    def source(self, x):
        slow, fast = ((2 * math.pi * k) ** 2 for k in (1, self.waves))
        sines = (torch.sin(2 * math.pi * k * x) for k in (1, self.waves))
        return -slow * next(sines) - fast * next(sines) / 2

    def epoch(self, generator):
        x = torch.rand(self.points, 1, generator=generator, dtype=torch.float64)
        return x, self.source(x).float()

    def loss(self, model, x, y):
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
        ends = model(x.new_tensor([[0.0], [1.0]]))
        return (second - y).square().mean() / self.scale + 100 * ends.square().mean()

    @property
    def scale(self):
        """Mean of f² over [0, 1]."""
        slow, fast = ((2 * math.pi * k) ** 4 for k in (1, self.waves))
        return slow / 2 + fast / 8 if self.waves > 1 else 9 * slow / 8

    def progress_metric(self, predict):
        return relative_error(*self.functions(predict)[1:])

    def evaluate(self, predict):
        x, prediction, truth = self.functions(predict)
        return Outcome(
            comparisons={"function": (prediction, truth)}, lines={"u": (x, prediction, truth)}
        )

    def functions(self, predict):
        x = torch.linspace(0, 1, GRID, dtype=torch.float64)[:, None]
        return x[:, 0].numpy(), predict(x).double().numpy(), self.solution(x).numpy()
