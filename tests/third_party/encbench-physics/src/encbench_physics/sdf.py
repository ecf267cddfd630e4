"""The signed distance of a torus."""

import hashlib
from typing import Annotated

import numpy as np
import torch
from pydantic import Field

from encbench import NetworkDefaults, Outcome, Task

from .relative_error import relative_error

SIDE = 48
FOLLOWED = 1000


class SignedDistance(Task):
    """Signed distance to a torus in the unit cube, negative inside.

    The loss is the mean of |f − distance| and, times ``eikonal``, of (‖∇f‖ − 1)²: a distance has
    slope 1 (Gropp et al., "Implicit Geometric Regularization", ICML 2020).
    """

    in_dim = 3
    out_dim = 1
    network = NetworkDefaults(width=64, depth=2)
    training = {"optimizer": "adam", "schedule": "cosine", "batch_size": 256, "steps": 1000}
    curve = "relative_error"
    curve_points = FOLLOWED

    def __init__(
        self,
        *,
        ring: Annotated[float, Field(gt=0, lt=0.5, description="radius of the ring")] = 0.25,
        tube: Annotated[float, Field(gt=0, lt=0.25, description="radius of the tube")] = 0.1,
        eikonal: Annotated[float, Field(ge=0, description="weight of (‖∇f‖ − 1)²")] = 0.1,
        points: Annotated[int, Field(ge=2, description="points of an epoch")] = 4096,
    ):
        self.ring = ring
        self.tube = tube
        self.eikonal = eikonal
        self.points = points

    @classmethod
    def data_hash(cls, **parameters):
        return hashlib.sha256(f"torus {sorted(parameters.items())}".encode()).hexdigest()

    @property
    def points_per_epoch(self):
        return self.points

    def distance(self, x):  # (N, 3) -> (N, 1)
        across, along = (x[:, :2] - 0.5).norm(dim=1) - self.ring, x[:, 2] - 0.5
        return (torch.hypot(across, along) - self.tube)[:, None]

    def epoch(self, generator):
        x = torch.rand(self.points, 3, generator=generator, dtype=torch.float64)
        return x, self.distance(x).float()

    def loss(self, model, x, y):
        x = x.detach().requires_grad_()
        found = model(x)
        (slope,) = torch.autograd.grad(found.sum(), x, create_graph=True)
        flat = (slope.norm(dim=1) - 1).square().mean()
        return (found - y).abs().mean() + self.eikonal * flat

    def progress_metric(self, predict):
        x = torch.rand(FOLLOWED, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        return relative_error(predict(x).numpy(), self.distance(x).numpy())

    def evaluate(self, predict):
        """At the centres of the voxels of a slice, and along a line through the ring."""
        centres = (torch.arange(SIDE, dtype=torch.float64) + 0.5) / SIDE
        x, y = torch.meshgrid(centres, centres, indexing="xy")
        points = torch.stack([x, y, torch.full_like(x, 0.5)], -1).reshape(-1, 3)
        prediction, truth = predict(points).double().numpy(), self.distance(points).numpy()
        middle = slice(SIDE // 2 * SIDE, (SIDE // 2 + 1) * SIDE)
        line = (centres.numpy(), prediction[middle], truth[middle])
        return Outcome(
            comparisons={"function": (prediction, truth)},
            pictures={"target": self.picture(truth), "prediction": self.picture(prediction)},
            lines={"distance": line},
        )

    def picture(self, values):
        """Grey, 0.5 at the surface, with a stripe every tenth."""
        shade = np.clip(0.5 + values, 0, 1) * (1 - 0.3 * (np.abs(values % 0.1) < 0.01))
        return (255 * shade).astype(np.uint8).reshape(SIDE, SIDE)
