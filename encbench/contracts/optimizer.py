"""The contracts of an optimizer and of a schedule of its learning rate."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field

from encbench.contracts.number import number
from encbench.errors import bounded


class Optimizer(ABC):
    """Base class of optimizers.

    The typed keywords of a subclass are its parameters, like an encoding's; learning rate and
    schedule are separate settings::

        class RMSprop(Optimizer):
            default_lr = 1e-3

            def __init__(self, *, alpha: float = 0.99) -> None:
                self.alpha = alpha

            def make(self, groups, *, fused):
                return torch.optim.RMSprop(groups, alpha=self.alpha)
    """

    source: ClassVar[str] = ""
    """Where it comes from: authors, title, venue, year."""
    default_lr: float | None = None
    """Learning rate of ``lr = "auto"`` for two hidden layers in standard parameterization, with
    activations that do not oscillate; ``encbench.training.optimizers.usual_rate`` derives rates
    for other networks. None: not known."""
    plain: bool = False
    """Whether a step is w ← w − lr · gradient and nothing else."""
    skips_zero_gradients: bool = False
    """Whether a parameter entry whose gradient was always 0 is unchanged and affects no other."""

    @abstractmethod
    def make(self, groups: list[dict[str, Any]], *, fused: bool) -> torch.optim.Optimizer:
        """Build the torch optimizer.

        Args:
            groups: parameter groups, each with "params", "lr", "highest_lr" (the rate before the
                schedule) and "part" ("mlp" or "encoding"). The torch optimizer keeps these keys,
                and has each of the parameters in one group.
            fused: whether to use torch's fused update, one kernel for all parameters.
        """

    def lr_from_kernel(self, critical: float) -> float | None:
        """The rate at which this optimizer is as stable as gradient descent at its critical rate.

        None if no such rate is known; "auto" is then ``default_lr``.
        """
        return None


ROUNDING = 1e-6
"""A factor of the learning rate may be beyond 0 or 1 by this, the rounding of float32."""
Warmup = Annotated[
    float, Field(ge=0, lt=1, description="share of the steps in which the rate rises from 0")
]


class Schedule(ABC):
    """Base class of schedules: the learning rate during training, relative to its maximum.

    Args:
        warmup: share of the steps in which the rate rises linearly; the decay follows.
    """

    warmup: float = 0.0

    def __init__(self, *, warmup: Warmup = 0.0) -> None:
        self.warmup = warmup

    @abstractmethod
    def decay(self, progress: float) -> float:
        """The factor, 0 to 1, at ``progress`` in [0, 1), the share done of the steps after the
        warm-up."""

    def factor(self, step: int, steps: int) -> float:
        """The factor of the learning rate in step ``step`` (from 0) of ``steps``."""
        rising = round(self.warmup * steps)
        if step < rising:
            return (step + 1) / rising
        return self.decay((step - rising) / max(1, steps - rising))


def factor_of(schedule: Schedule, step: int, steps: int) -> float:
    """The checked result of ``factor``.

    Raises:
        TypeError: it is no number from 0 to 1. Errors of the schedule pass through.
    """
    found: Any = schedule.factor(step, steps)
    try:
        factor = number(found)
    except TypeError:
        factor = math.nan
    if not -ROUNDING <= factor <= 1 + ROUNDING:
        raise TypeError(
            f"{type(schedule).__name__} returned {bounded(repr(found), 100)} as the factor of the "
            f"learning rate in step {step + 1} of {steps}; expected a number from 0 to 1, a "
            "fraction of the highest rate, which training.lr sets"
        )
    return max(factor, 0.0)
