"""Optimizers by the name that a suite gives."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache
from typing import ClassVar

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


@dataclass(frozen=True)
class Rule(ABC):
    """An optimizer of ``torch.optim`` and its parameters, the learning rate left out."""

    name: ClassVar[str]
    weight_decay: float = 0.0

    @property
    def plain(self) -> bool:
        """Whether a step is w ← w − lr · gradient and nothing else."""
        return False

    @property
    def leaves_rows_without_gradient(self) -> bool:
        """Whether an entry whose gradient was always zero stays, and does not affect others."""
        return self.weight_decay == 0

    @abstractmethod
    def make(
        self, parameters: list[nn.Parameter], lr: float, *, fused: bool
    ) -> torch.optim.Optimizer:
        """The optimizer; ``fused`` asks for one kernel for all parameters."""


@dataclass(frozen=True)
class Sgd(Rule):
    """Gradient descent, with momentum if any."""

    name = "sgd"
    momentum: float = 0.0

    @property
    def plain(self) -> bool:
        return self.momentum == 0 and self.weight_decay == 0

    def make(
        self, parameters: list[nn.Parameter], lr: float, *, fused: bool
    ) -> torch.optim.Optimizer:
        return torch.optim.SGD(
            parameters, lr, momentum=self.momentum, weight_decay=self.weight_decay, fused=fused
        )


@dataclass(frozen=True)
class Adam(Rule):
    """Adam (Kingma, Ba, ICLR 2015)."""

    name = "adam"
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8

    def make(
        self, parameters: list[nn.Parameter], lr: float, *, fused: bool
    ) -> torch.optim.Optimizer:
        return torch.optim.Adam(
            parameters, lr, self.betas, self.eps, self.weight_decay, fused=fused
        )


@dataclass(frozen=True)
class AdamW(Adam):
    """Adam with decoupled weight decay (Loshchilov, Hutter, ICLR 2019)."""

    name = "adamw"
    weight_decay: float = 0.01

    def make(
        self, parameters: list[nn.Parameter], lr: float, *, fused: bool
    ) -> torch.optim.Optimizer:
        return torch.optim.AdamW(
            parameters, lr, self.betas, self.eps, self.weight_decay, fused=fused
        )


def rule_of(config: TrainingConfig) -> Rule:
    """The optimizer that a suite asks for."""
    return Adam() if config.optimizer == "adam" else Sgd()


def make_optimizer(
    parameters: Iterable[nn.Parameter], rule: Rule, lr: float
) -> torch.optim.Optimizer:
    """An optimizer of parameters that have been through one backward pass."""
    learned = [parameter for parameter in parameters if parameter.requires_grad]
    # fused: one kernel for all parameters; at a batch of 32 the update is a quarter of the step
    return rule.make(learned, lr, fused=all(map(_can_be_fused, learned)))


def _can_be_fused(parameter: nn.Parameter) -> bool:
    """Whether the fused update is right: it takes no sparse gradients, and ignores strides.

    Only a backward pass tells what kind of gradient there is.
    """
    tensors = [parameter] if parameter.grad is None else [parameter, parameter.grad]
    return all(
        tensor.is_floating_point() and not tensor.is_sparse and tensor.is_contiguous()
        for tensor in tensors
    )
