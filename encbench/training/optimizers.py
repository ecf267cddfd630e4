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
    # fused: one kernel for all parameters; at a batch of 32 the update is a quarter of the step.
    fused = all(map(_can_be_fused, parameters))
    if config.optimizer == "adam":
        return torch.optim.Adam(parameters, lr=lr, fused=fused)
    return torch.optim.SGD(parameters, lr=lr, fused=fused)


def _can_be_fused(parameter: nn.Parameter) -> bool:
    """Whether the fused update is right: it takes no sparse gradients, and ignores strides.

    Only a backward pass tells what kind of gradient there is.
    """
    tensors = [parameter] if parameter.grad is None else [parameter, parameter.grad]
    return all(
        tensor.is_floating_point() and not tensor.is_sparse and tensor.is_contiguous()
        for tensor in tensors
    )
