"""Tasks with one fault each, and one without; at module level, for workers to import."""

from __future__ import annotations

import hashlib
import math
import os
from typing import Annotated, Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from encbench import Outcome, RegularGrid, Task
from encbench.contracts.task import Predict

Points = Annotated[int, Field(ge=2, description="points in an epoch")]


class Noise(Task):
    """A wave at points that are drawn anew each epoch."""

    in_dim = 1
    out_dim = 1

    def __init__(self, *, points: Points = 16) -> None:
        self.points = points

    @classmethod
    def data_hash(cls, **parameters: Any) -> str:
        return hashlib.sha256(b"a wave").hexdigest()

    @property
    def points_per_epoch(self) -> int:
        return self.points

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = torch.rand(self.points, 1, generator=generator, dtype=torch.float64)
        return x, self.truth(x)

    def truth(self, x: Tensor) -> Tensor:
        return (0.5 + 0.5 * torch.sin(2 * math.pi * x)).float()

    def progress_metric(self, predict: Predict) -> float:
        prediction, truth = self.images(predict)
        return -10 * math.log10(np.square(prediction - truth).mean())

    def evaluate(self, predict: Predict) -> Outcome:
        images = self.images(predict)
        return Outcome(
            {"image": images}, {"prediction": (255 * images[0]).astype(np.uint8)[..., 0]}
        )

    def images(self, predict: Predict) -> tuple[np.ndarray, np.ndarray]:
        x = torch.linspace(0, 1, 12, dtype=torch.float64)[:, None]
        return predict(x).numpy().reshape(3, 4, 1), self.truth(x).numpy().reshape(3, 4, 1)


class OnCorners(Noise):
    """Declares that its points are centres of cells, but they are on the cells' borders."""

    def regular_grid(self) -> RegularGrid:
        x = torch.linspace(0, 1, 8, dtype=torch.float64)[:, None]
        return RegularGrid(x, self.truth(x).numpy())


class Wandering(Noise):
    """Changes the working directory."""

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        os.chdir("/")
        return super().epoch(generator)


class Undocumented(Noise):
    pass


class Undescribed(Noise):
    """A parameter without a description."""

    def __init__(self, *, points: int = 16) -> None:
        super().__init__(points=points)


class NoTargets(Noise):
    """Names no target."""

    @classmethod
    def targets(cls, **parameters: Any) -> list[dict[str, Any]]:
        return []


class Fails(Noise):
    """Cannot be built."""

    def __init__(self, *, points: Points = 16) -> None:
        raise OSError("the tide is out")


class Dimensionless(Noise):
    """Does not set the number of channels."""

    out_dim = None


class ShortHash(Noise):
    """A hash that is not a SHA-256."""

    @classmethod
    def data_hash(cls, **parameters: Any) -> str:
        return "v1"


class HashOfProcess(Noise):
    """A hash that differs between processes."""

    @classmethod
    def data_hash(cls, **parameters: Any) -> str:
        return hashlib.sha256(str(os.getpid()).encode()).hexdigest()


class GlobalGenerator(Noise):
    """Draws from torch's generator."""

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = torch.rand(self.points, 1, dtype=torch.float64)
        return x, self.truth(x)


class Unrepeatable(Noise):
    """Draws from a generator of its own."""

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        fresh = torch.Generator()
        fresh.seed()
        return super().epoch(fresh)


class SinglePrecision(Noise):
    """Coordinates in float32."""

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x, y = super().epoch(generator)
        return x.float(), y


class OutOfDomain(Noise):
    """Coordinates in [-1, 1]."""

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x, y = super().epoch(generator)
        return 2 * x - 1, y


class NoProbability(Noise):
    """Values outside [0, 1], where probabilities are expected."""

    loss = "bce"

    def truth(self, x: Tensor) -> Tensor:
        return super().truth(x) + 1


class Miscounted(Noise):
    """One point more than it declares."""

    @property
    def points_per_epoch(self) -> int:
        return self.points - 1


class Twice(Noise):
    """Repeats the same point."""

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        x = torch.full((self.points, 1), 0.25, dtype=torch.float64)
        return x, self.truth(x)


class Clipping(Noise):
    """Turns nan into the darkest value."""

    def progress_metric(self, predict: Predict) -> float:
        prediction, truth = self.images(predict)
        return -10 * math.log10(np.square(np.nan_to_num(prediction) - truth).mean())


class UnknownKind(Noise):
    """A comparison that no metric measures."""

    def evaluate(self, predict: Predict) -> Outcome:
        return Outcome({"smell": self.images(predict)})


class WrongShapes(Noise):
    """A prediction with another shape than the truth."""

    def evaluate(self, predict: Predict) -> Outcome:
        prediction, truth = self.images(predict)
        return Outcome({"image": (prediction[:2], truth)})


class FloatPicture(Noise):
    """A picture of numbers in [0, 1]."""

    def evaluate(self, predict: Predict) -> Outcome:
        images = self.images(predict)
        return Outcome({"image": images}, {"prediction": images[0][..., 0]})


class OwnLoss(Noise):
    """A correct loss of its own."""

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return (model(x) - y).square().mean()


class UnknownLoss(Noise):
    """An undefined name of a loss."""

    loss = "mes"  # type: ignore[assignment] # the fault


class FloatLoss(OwnLoss):
    """A loss that is a Python number."""

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Any:
        return super().loss(model, x, y).item()


class LossOfEachPoint(OwnLoss):
    """A loss that is not averaged."""

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return (model(x) - y).square()[:, 0]


class Detached(OwnLoss):
    """A loss without a gradient."""

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        with torch.no_grad():
            return super().loss(model, x, y)


class OfItsInput(OwnLoss):
    """A loss with a gradient that does not reach the network."""

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return x.detach().requires_grad_().sum()


class LossIsNan(OwnLoss):
    """A loss that is not a number."""

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return super().loss(model, x, y) * math.nan


class GradientIsNan(OwnLoss):
    """A loss whose gradient is not a number: that of a square root at 0."""

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return super().loss(model, x, y) + (0 * model(x)).sqrt().mean()


class LossRaises(OwnLoss):
    """A loss that cannot be computed."""

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        raise ZeroDivisionError("the tide is out")


class SecondDerivative(OwnLoss):
    """A loss of second derivatives, for a network that has none."""

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        x = x.detach().requires_grad_()
        (slope,) = torch.autograd.grad(model(x).sum(), x, create_graph=True)
        (second,) = torch.autograd.grad(slope.sum(), x, create_graph=True)
        return (second - y).square().mean() + 0 * model(x).mean()


class Retrains(OwnLoss):
    """A loss that changes a weight."""

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        loss = super().loss(model, x, y)
        next(model.parameters()).data.mul_(2)
        return loss


class ShiftsPoints(OwnLoss):
    """A loss that changes its points."""

    def loss(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        return super().loss(model, x.add_(0.1), y)


class WrongChannels(Noise):
    """Trained values of two channels, although one is declared."""

    def truth(self, x: Tensor) -> Tensor:
        return super().truth(x).expand(-1, 2)
