"""The largest learning rate at which gradient descent on the linearized model is stable."""

from __future__ import annotations

import math
from typing import Literal

import torch
from torch import Tensor, nn

from encbench.errors import NtkError
from encbench.ntk.guards import check_choice
from encbench.ntk.lanczos import largest_eigenvalue
from encbench.ntk.matrix_free import operator

__all__ = ["critical_learning_rate"]

CURVATURE = {"mse": 2.0, "bce": 0.25}  # upper bound of the second derivative of an element's loss


def critical_learning_rate(
    model: nn.Module,
    x: Tensor,
    loss: Literal["mse", "bce"] = "mse",
    *,
    device: torch.device | str | None = None,
) -> float:
    """lr_crit = 2 N O / (c · λ_max) of full-batch gradient descent, Θ the full kernel at x.

    The loss is a mean over N points and O outputs. Its curvature along an eigenvector of Θ is at
    most c λ / (N O), with c = 2 for the squared error, exactly, and c = 1/4 for the binary cross
    entropy of a logit, as an upper bound: σ'(z) ≤ 1/4. A step of lr keeps the linearized model
    stable while lr times that curvature is below 2.

    λ_max comes from Lanczos without forming Θ, to 1e-6 and from above, in float64.

    Args:
        model, x, device: as in ``empirical_ntk``. Some 300 random training points give λ_max / N
            to a few percent.
        loss: "mse" or "bce" (from logits).

    Raises:
        ParameterError: an unknown loss.
        NtkError: as ``empirical_ntk``; the kernel is zero or not finite.
    """
    check_choice("loss", loss, tuple(CURVATURE))
    theta = operator(model, x, outputs="full", device=device)
    size = int(theta.shape[0])
    largest = largest_eigenvalue(theta.matvec, size)
    if not (math.isfinite(largest) and largest > 0):
        raise NtkError(f"the kernel's largest eigenvalue is {largest}; no learning rate follows")
    return 2.0 * size / (CURVATURE[loss] * largest)
