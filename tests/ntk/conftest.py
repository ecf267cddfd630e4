"""Shared by tests of the kernel: the brute-force kernel, and points."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from typing import Literal

import pytest
import torch
from threadpoolctl import threadpool_limits
from torch import Tensor, nn
from torch.func import functional_call, jacrev, vmap

OUTPUTS: tuple[Literal["trace"], Literal["full"]] = ("trace", "full")


def jacobian(model: nn.Module, x: Tensor) -> dict[str, Tensor]:
    """The whole float64 Jacobian: (N, O, P) for each trained parameter of P numbers."""
    model = copy.deepcopy(model).double().eval()
    trained = {name: p.detach() for name, p in model.named_parameters() if p.requires_grad}

    def f(parameters: dict[str, Tensor], point: Tensor) -> Tensor:
        return functional_call(model, parameters, (point[None],))[0]

    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*There is a performance drop", UserWarning)
        parts = vmap(jacrev(f), in_dims=(None, 0))(trained, x.double())
    return {name: part.flatten(2).detach() for name, part in parts.items()}


def gram(parts: dict[str, Tensor], outputs: str, names: list[str] | None = None) -> Tensor:
    """The kernel of the named (or all trained) parameters from their Jacobians."""
    j = torch.cat([part for name, part in parts.items() if names is None or name in names], 2)
    if outputs == "full":
        return j.flatten(0, 1) @ j.flatten(0, 1).t()
    return torch.einsum("nap,map->nm", j, j) / j.shape[1]


def brute_force(
    model: nn.Module, x: Tensor, outputs: str, names: list[str] | None = None
) -> Tensor:
    """The kernel from the whole Jacobian."""
    return gram(jacobian(model, x), outputs, names)


@pytest.fixture(autouse=True, scope="package")
def one_thread() -> Iterator[None]:
    """One thread: for matrices of a few dozen rows, threads would only wait for one another."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    with threadpool_limits(limits=1):
        yield
    torch.set_num_threads(before)


@pytest.fixture
def points() -> Tensor:
    torch.manual_seed(7)
    return torch.rand(40, 2, dtype=torch.float64)


def relative_error(got: Tensor, reference: Tensor) -> float:
    return float((got - reference).abs().max() / reference.abs().max())
