"""Optimizers by the name that a suite gives."""

from __future__ import annotations

from functools import cache

import torch
from torch import nn

from encbench.suite.config import TrainingConfig


@cache
def load_optimizers() -> None:
    """Make torch import what its first optimizer needs.

    That takes seconds (torch 2.13: 1.9 s), which would otherwise count as time of a process's
    first training.
    """
    torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)


def make_optimizer(model: nn.Module, config: TrainingConfig, lr: float) -> torch.optim.Optimizer:
    """The configured optimizer, for a model that has been through one backward pass."""
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = [parameter.grad for parameter in parameters]
    # fused: one kernel for all parameters; at a batch of 32 the update is a quarter of the step.
    # It takes no sparse gradients, and only a backward pass tells whether there are any.
    fused = not any(gradient is not None and gradient.is_sparse for gradient in gradients)
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=lr, fused=fused)
    return torch.optim.SGD(parameters, lr=lr, fused=fused)
