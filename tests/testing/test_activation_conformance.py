"""The checks find the fault of an activation and describe it in one line."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
import torch
from pydantic import Field
from torch import Tensor, nn

from encbench import Activation
from encbench.testing import ActivationConformance

CALLS = []


@dataclass(frozen=True)
class Softsign(Activation):
    """z / (1 + |z| / a)."""

    name = "softsign"
    source = "nobody, 2026"
    a: Annotated[float, Field(gt=0, description="value at infinity")] = 1.0

    def __call__(self, z: Tensor) -> Tensor:
        return z / (1 + z.abs() / self.a)


class Halving(Softsign):
    def __call__(self, z: Tensor) -> Tensor:
        return z[:, :1]


class Single(Softsign):
    def __call__(self, z: Tensor) -> Tensor:
        return z.float()


class Overflowing(Softsign):
    def __call__(self, z: Tensor) -> Tensor:
        return torch.exp(z.square() * 10)


class Root(Softsign):
    def __call__(self, z: Tensor) -> Tensor:
        return z.abs().sqrt()


class Held(Softsign):
    """Its backward pass is that of another function."""

    def __call__(self, z: Tensor) -> Tensor:
        return (z.abs() + 1).detach() * z


class Noisy(Softsign):
    def __call__(self, z: Tensor) -> Tensor:
        return z + torch.rand_like(z)


class Normalized(Softsign):
    def __call__(self, z: Tensor) -> Tensor:
        return z - z.mean(0)


class Counting(Softsign):
    def __call__(self, z: Tensor) -> Tensor:
        CALLS.append(1)
        return z * len(CALLS)


class OtherGain(Softsign):
    def ntk_gains(self) -> tuple[float, float]:
        return 0.3, 1.0


class ZeroGain(Softsign):
    def ntk_gains(self) -> tuple[float, float]:
        return 0.0, 1.0


class Zeros(Softsign):
    def initialize(self, layer: nn.Linear) -> None:
        nn.init.zeros_(layer.weight)


class Changing(Softsign):
    def __call__(self, z: Tensor) -> Tensor:
        torch.set_default_dtype(torch.float64)
        return z


class Unequal(Softsign):
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> bool:
        return self is other


class Nameless(Activation):
    def __call__(self, z: Tensor) -> Tensor:
        return torch.tanh(z)


class Lambda(Softsign):
    def module(self) -> nn.Module:
        module = nn.Tanh()
        module.f = lambda z: z
        return module


class Stray(Softsign):
    def module(self) -> nn.Module:
        module = nn.Tanh()
        module.slope = torch.rand(1)
        return module


def result_of(cls: type[Activation], name: str) -> tuple[str, str]:
    members = {"activation": cls, "parameters": {}}
    checks = type(f"Check{cls.__name__}", (ActivationConformance,), members)
    one = {name: checks.checks()[name]}
    (result,) = type("One", (checks,), {"checks": classmethod(lambda _: one)}).run()
    return result.outcome, result.message


@pytest.mark.parametrize(
    ("cls", "check", "words"),
    [
        (Halving, "test_shapes_and_dtypes", r"a tensor \(41, 1\)"),
        (Single, "test_shapes_and_dtypes", "keeps the shape and the precision"),
        (Overflowing, "test_shapes_and_dtypes", r"φ\(-10\) is not finite in torch.float32"),
        (Root, "test_derivative", "the derivative at 0 is not finite"),
        (Held, "test_derivative", "gradcheck: Jacobian"),
        (Noisy, "test_it_is_determined_by_its_seed", "draws random numbers"),
        (Normalized, "test_rows_are_independent", "no statistics over the batch"),
        (Counting, "test_it_is_determined_by_its_seed", "two calls of forward differ"),
        (OtherGain, "test_initialization", "g = 0.3, but initialize gives .* g is 0.5"),
        (ZeroGain, "test_initialization", r"\(0.0, 1.0\); expected two positive factors"),
        (Zeros, "test_initialization", "all 0"),
        (Changing, "test_it_changes_nothing_that_others_share", "default_dtype"),
        (Unequal, "test_it_is_a_value", "make the class a frozen dataclass"),
        (Nameless, "test_it_is_documented", 'no name; set one in its class, such as name = "bump"'),
        (Lambda, "test_pickling", "cannot be pickled"),
        (Stray, "test_tensors_move_with_the_module", "plain tensors among the attributes: slope"),
    ],
)
def test_a_fault_is_one_line(cls: Any, check: str, words: str) -> None:
    outcome, message = result_of(cls, check)
    assert outcome == "failed"
    assert "\n" not in message
    assert re.search(words, message), message


def test_a_missing_docstring_is_advice() -> None:
    assert result_of(Halving, "test_it_is_documented")[0] == "advice"
