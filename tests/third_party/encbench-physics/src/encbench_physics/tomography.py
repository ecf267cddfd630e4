"""A picture, learned from a few of its projections."""

import hashlib
import math
from typing import Annotated

import torch
from pydantic import Field

from encbench import NetworkDefaults, Outcome, Task
from encbench.metrics.psnr import psnr

SAMPLES = 48
ELLIPSES = (  # density, centre, half axes
    (0.6, (0.5, 0.5), (0.36, 0.44)),
    (-0.3, (0.38, 0.52), (0.09, 0.17)),
    (-0.3, (0.62, 0.52), (0.07, 0.14)),
    (0.4, (0.5, 0.3), (0.08, 0.06)),
    (0.3, (0.52, 0.74), (0.04, 0.04)),
)


class Tomography(Task):
    """Density of five ellipses in the unit square, of which parallel projections are known.

    A training point is a ray: its angle over π, and its offset from the centre plus ½; its value
    is the integral of the density along it, exact. The loss is the mean squared error of the
    network's integrals by the midpoint rule, y = A f for a linear A.
    """

    in_dim = 2
    out_dim = 1
    network = NetworkDefaults(width=64, depth=2)
    training = {"optimizer": "adam", "schedule": "cosine", "batch_size": 128, "steps": 1000}

    def __init__(
        self,
        *,
        angles: Annotated[int, Field(ge=1, description="projections")] = 12,
        rays: Annotated[int, Field(ge=2, description="rays of a projection")] = 64,
        side: Annotated[int, Field(ge=8, description="pixels of the evaluated picture")] = 64,
    ):
        angle = torch.arange(angles, dtype=torch.float64) / angles
        offset = (torch.arange(rays, dtype=torch.float64) + 0.5) / rays
        self.x = torch.cartesian_prod(angle, offset)
        self.y = self.projected(self.x).float()[:, None]
        self.side = side

    @classmethod
    def data_hash(cls, **parameters):
        return hashlib.sha256(f"ellipses {sorted(parameters.items())}".encode()).hexdigest()

    @property
    def points_per_epoch(self):
        return len(self.x)

    def epoch(self, generator):
        return self.x, self.y

    def loss(self, model, x, y):
        middle, direction, half = self.chords(x)
        at = torch.arange(SAMPLES, device=x.device, dtype=x.dtype)
        steps = half[:, None] * (2 * (at + 0.5) / SAMPLES - 1)  # (n, SAMPLES)
        points = middle[:, None] + steps[..., None] * direction[:, None]
        density = model(points.reshape(-1, 2).clamp(0, 1)).view(len(x), SAMPLES)
        return (2 * half * density.mean(1) - y[:, 0]).square().mean()

    @staticmethod
    def chords(x):  # (n, 2) -> (n, 2), (n, 2), (n,)
        """Middle, direction and half length of each ray inside the circle of radius ½."""
        angle, offset = math.pi * x[:, 0], x[:, 1] - 0.5
        direction = torch.stack([angle.cos(), angle.sin()], 1)
        normal = torch.stack([-angle.sin(), angle.cos()], 1)
        return 0.5 + offset[:, None] * normal, direction, (0.25 - offset**2).clamp(min=0).sqrt()

    def projected(self, x):  # (n, 2) -> (n,)
        """The integral of the density along rays, from chords of the ellipses."""
        middle, direction, _ = self.chords(x)
        total = torch.zeros(len(x), dtype=x.dtype)
        for density, centre, axes in ELLIPSES:
            start, along = (middle - x.new_tensor(centre)) / x.new_tensor(axes), direction
            along = along / x.new_tensor(axes)
            square, mixed = along.square().sum(1), (start * along).sum(1)
            inside = mixed**2 - square * (start.square().sum(1) - 1)
            total += density * 2 * inside.clamp(min=0).sqrt() / square
        return total

    def ntk_points(self, count, generator):
        """Pixels: the rays are no points of the network's domain."""
        pixels = self.pixels()
        return pixels[torch.randperm(len(pixels), generator=generator)[:count].sort().values]

    def pixels(self):  # (side², 2)
        centres = (torch.arange(self.side, dtype=torch.float64) + 0.5) / self.side
        return torch.cartesian_prod(centres, centres).flip(1)

    def images(self, predict):
        x = self.pixels()
        truth = torch.zeros(len(x), dtype=x.dtype)
        for density, centre, axes in ELLIPSES:
            scaled = (x - x.new_tensor(centre)) / x.new_tensor(axes)
            truth += density * (scaled.square().sum(1) <= 1)
        shape = (self.side, self.side, 1)
        return predict(x).clamp(0, 1).reshape(shape).numpy(), truth.float().reshape(shape).numpy()

    def progress_metric(self, predict):
        return psnr(*self.images(predict))

    def evaluate(self, predict):
        prediction, truth = self.images(predict)
        grey = {"target": truth, "prediction": prediction}
        across = (self.pixels()[: self.side, 0].numpy(), prediction[self.side // 2])
        return Outcome(
            comparisons={"image": (prediction, truth)},
            pictures={name: (255 * each[..., 0]).astype("uint8") for name, each in grey.items()},
            lines={"density": (*across, truth[self.side // 2])},
        )
