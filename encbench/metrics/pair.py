"""Checks of prediction and truth for metrics that compare arrays of values."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from encbench.errors import PluginError

Values = NDArray[np.float64]
ROUNDING = 1e-6
NOT_FINITE = "the prediction or the truth has values that are not finite"


def beyond_unit_range(truth: ArrayLike) -> str:
    """Why metrics with data range 1 are undefined, such as for bytes 0 to 255; "" if defined."""
    values = np.asarray(truth, np.float64)
    low, high = values.min(), values.max()
    if low >= -ROUNDING and high <= 1 + ROUNDING:
        return ""
    return (
        f"the truth is from {low:g} to {high:g}, expected [0, 1]; scale it in the task's evaluate()"
    )


def check_real(metric: str, prediction: ArrayLike, truth: ArrayLike) -> None:
    """Refuse complex values, whose imaginary part NumPy drops; ``metric`` is the metric's title.

    Raises:
        PluginError: there are complex values.
    """
    if np.iscomplexobj(prediction) or np.iscomplexobj(truth):
        raise PluginError(
            f"{metric} needs real values, got complex ones; give their real part, or both parts as "
            "two channels, in the task's evaluate()"
        )


def compared(metric: str, prediction: ArrayLike, truth: ArrayLike) -> tuple[Values, Values] | None:
    """Prediction and truth in float64, checked to have equal shapes; None if a value is not finite.

    Args:
        metric: title of the metric, for messages.

    Raises:
        PluginError: the shapes differ, or there are no values, or they are complex.
    """
    check_real(metric, prediction, truth)
    got, expected = np.asarray(prediction, np.float64), np.asarray(truth, np.float64)
    if got.shape != expected.shape or got.size == 0:
        raise PluginError(
            f"{metric} needs arrays of equal shape and at least one value, got shapes {got.shape} "
            f"and {expected.shape}; correct the task's evaluate()"
        )
    finite = np.isfinite(got).all() and np.isfinite(expected).all()
    return (got, expected) if finite else None
