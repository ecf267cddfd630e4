"""Built-in schedules of the learning rate."""

from __future__ import annotations

import math
from typing import Annotated

from pydantic import Field

from encbench.contracts.optimizer import Schedule, Warmup

Final = Annotated[float, Field(ge=0, le=1, description="factor at the end")]


class Constant(Schedule):
    """The same rate throughout, after an optional warm-up."""

    def decay(self, progress: float) -> float:
        return 1.0


class Cosine(Schedule):
    """The rate falls along half a cosine to the final factor of its maximum."""

    def __init__(self, *, final: Final = 0.0, warmup: Warmup = 0.0) -> None:
        super().__init__(warmup=warmup)
        self.final = final

    def decay(self, progress: float) -> float:
        return self.final + (1 - self.final) * (1 + math.cos(math.pi * progress)) / 2


class Exponential(Schedule):
    """The rate falls by the same factor every step, down to the final factor of its maximum."""

    def __init__(
        self,
        *,
        final: Annotated[float, Field(gt=0, le=1, description="factor at the end")] = 0.1,
        warmup: Warmup = 0.0,
    ) -> None:
        super().__init__(warmup=warmup)
        self.final = final

    def decay(self, progress: float) -> float:
        return float(self.final**progress)


class Step(Schedule):
    """The rate is multiplied by a factor at given points of the training."""

    def __init__(
        self,
        *,
        at: Annotated[
            list[Annotated[float, Field(gt=0, lt=1)]],
            Field(min_length=1, description="when the rate drops, as shares of the training"),
        ] = [0.5, 0.75],  # noqa: B006 # read only, and shown as the default
        by: Annotated[float, Field(gt=0, le=1, description="factor at each drop")] = 0.1,
        warmup: Warmup = 0.0,
    ) -> None:
        super().__init__(warmup=warmup)
        self.at = at
        self.by = by

    def decay(self, progress: float) -> float:
        return float(self.by ** sum(progress >= share for share in self.at))
