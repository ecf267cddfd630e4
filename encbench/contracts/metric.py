"""The contract of a metric."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict

__all__ = ["Metric", "MetricValue"]


class MetricValue(BaseModel):
    """One number with what is needed to read it.

    ``value`` is None where the metric is not defined for this input; ``details`` says why.
    """

    model_config = ConfigDict(extra="forbid", ser_json_inf_nan="strings")

    value: float | None
    title: str = ""
    """As a column is headed, "PSNR"."""
    unit: str = ""
    direction: Literal["higher", "lower"] = "higher"
    details: dict[str, Any] = {}
    """What a comparison must not mix: the number of MS-SSIM scales, of points, …"""


class Metric(ABC):
    """A figure of merit for one kind of comparison.

    Applies to every task whose outcome holds a comparison of this ``kind``.
    """

    kind: ClassVar[str]
    """"image": two (H, W, C) float32 arrays in [0, 1]. Tasks may define further kinds."""
    unit: ClassVar[str] = ""
    range: ClassVar[tuple[float, float]]
    direction: ClassVar[Literal["higher", "lower"]] = "higher"
    title: ClassVar[str]
    """Column title, "PSNR"."""

    @abstractmethod
    def compute(self, prediction: Any, truth: Any) -> tuple[float | None, dict[str, Any]]:
        """The value, and details to record beside it."""

    def __call__(self, prediction: Any, truth: Any) -> MetricValue:
        value, details = self.compute(prediction, truth)
        return MetricValue(
            value=value, title=self.title, unit=self.unit, direction=self.direction, details=details
        )
