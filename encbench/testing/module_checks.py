"""Checks shared by encodings, networks and activations, all of which are torch modules.

Also the sample encodings with which networks and tasks are checked."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import numpy as np
import torch
from torch import Tensor, nn

from encbench.contracts.encoding import Encoding, LearnedGrid
from encbench.errors import EncbenchError
from encbench.ntk.autograd import called_with
from encbench.ntk.kernel import brute_force_ntk, empirical_ntk
from encbench.suite.seeding import seeded
from encbench.testing.conformance import (
    Conformance,
    call_in_worker,
    fail,
    require,
    require_equal,
    skip,
)

SEED = 20


class Coordinates(Encoding):
    """The coordinates themselves, in any dimension."""

    max_dim = 1 << 20

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim, in_dim)

    def forward(self, x: Tensor) -> Tensor:
        return x


class SmallGrid(Encoding):
    """Values at 3 nodes per axis, interpolated linearly."""

    def __init__(self, in_dim: int, features: int = 2) -> None:
        super().__init__(in_dim, features)
        self.table = nn.Parameter(torch.randn(3**in_dim, features))

    def forward(self, x: Tensor) -> Tensor:
        nodes = torch.arange(3, dtype=x.dtype, device=x.device) / 2
        weights = x.new_ones(len(x), 1)
        for axis in range(self.in_dim):
            near = (1 - 2 * (x[:, axis, None] - nodes).abs()).clamp(min=0)
            weights = (near.unsqueeze(2) * weights.unsqueeze(1)).flatten(1)
        return weights @ self.table

    def learned_grids(self) -> list[LearnedGrid]:
        rows = torch.arange(len(self.table)).view((3,) * self.in_dim)
        return [LearnedGrid("table", rows, 0, self.out_dim)]


class ModuleConformance(Conformance):
    """Checks of torch modules, on samples that a subclass builds."""

    alone: ClassVar[slice] = slice(4, 5)
    """Rows that are also evaluated without the others."""

    def samples(self, seed: int = SEED) -> Iterator[tuple[nn.Module, Tensor]]:
        """Modules in float64, built with this seed, each with inputs (N, …)."""
        raise NotImplementedError("a subclass builds what it checks")

    def values(self, module: nn.Module, x: Tensor) -> Tensor:
        """The module's output for x."""
        values: Tensor = module(x)
        return values

    def comparable(self, module: nn.Module, x: Tensor) -> Tensor:
        """The module's output for x; skips the check if comparing it would give a wrong reason."""
        values = self.finite(module, x)
        if not torch.equal(self.values(module, x), values):
            skip("not compared, since two calls of forward with the same input differ")
        return values

    def finite(self, module: nn.Module, x: Tensor) -> Tensor:
        """The module's output for x; skips the check if it is not finite."""
        values = self.values(module, x)
        if not bool(torch.isfinite(values).all()):
            skip("not compared, since values are not finite")
        return values

    def test_values_are_finite(self) -> None:
        """Values are finite."""
        for module, x in self.samples():
            values = self.values(module, x)
            bad = x[~torch.isfinite(values.reshape(len(x), -1)).all(1)]
            if len(bad):
                fail(f"values are NaN or infinite for {bad[0].tolist()}")

    def test_it_is_determined_by_its_seed(self) -> None:
        """The same seed gives the same values, and forward draws no random numbers."""
        for (module, x), (again, _) in zip(self.samples(), self.samples(), strict=True):
            with no_random_numbers(
                "forward draws random numbers; draw them in __init__ and keep them in a buffer"
            ):
                first = self.finite(module, x)
            second = self.values(module, x)
            require_equal(second, first, 0, "two calls of forward differ (in training mode)")
            require_equal(
                self.values(again, x),
                first,
                0,
                "two instances built with the same torch.manual_seed differ; draw from torch's "
                "generator, not from random or numpy",
            )
            evaluated = self.values(module.eval(), x)
            require_equal(evaluated, first, 0, "training and evaluation mode differ")

    def test_rows_are_independent(self) -> None:
        """Each row depends only on its own point, and x is not changed."""
        for module, x in self.samples():
            kept = x.clone()
            values = self.values(module, x)
            require(
                torch.equal(x, kept), "forward changes x in place; work on a new tensor instead"
            )
            advice = "no statistics over the batch, no memory between calls: rows are independent"
            self.comparable(module, x)
            alone = self.values(module, x[self.alone])
            require_equal(alone, values[self.alone], 1e-12, f"without the other rows; {advice}")
            reversed_ = self.values(module, x.flip(0)).flip(0)
            require_equal(reversed_, values, 1e-12, f"in reverse order; {advice}")

    def test_tensors_move_with_the_module(self) -> None:
        """Every tensor is a parameter or a buffer."""
        for module, _ in self.samples():
            stray = [
                f"{prefix}.{name}".lstrip(".")
                for prefix, each in module.named_modules()
                for name, value in vars(each).items()
                if _holds_tensor(value) and name not in ("_parameters", "_buffers", "_modules")
            ]
            require(
                not stray,
                f"plain tensors among the attributes: {', '.join(stray)}; they would stay behind "
                "at .to(device) and be missing from the state dict: use register_buffer or "
                "nn.Parameter",
            )

    def test_state_dict(self) -> None:
        """The state dict determines the values."""
        for (saved, x), (fresh, _) in zip(self.samples(), self.samples(SEED + 1), strict=True):
            expected = self.comparable(saved, x)
            try:
                fresh.load_state_dict(saved.state_dict())
            except RuntimeError as error:
                fail(f"load_state_dict: {' '.join(str(error).split())}")
            require_equal(
                self.values(fresh, x),
                expected,
                0,
                "an instance with another seed gives other values after loading the state dict; "
                "keep what __init__ draws in a parameter or a persistent buffer",
            )

    def test_pickling(self) -> None:
        """It can be pickled to a worker process."""
        for module, x in self.samples():
            here = self.comparable(module, x).detach().numpy()
            there = call_in_worker(_values, module, x.numpy())
            require(
                bool(np.allclose(there, here, rtol=1e-12, atol=1e-12)),
                "values in a worker process differ from those here; does forward read something "
                "that only this process has?",
            )

    def test_it_changes_nothing_that_others_share(self) -> None:
        """Torch's settings and the working directory stay as they are."""

        def use() -> None:
            for module, x in self.samples():
                total = self.values(module, x).abs().sum()
                if total.requires_grad:
                    total.backward()  # type: ignore[no-untyped-call] # torch leaves it untyped

        self.require_nothing_changed(use)


def inner_points(count: int, in_dim: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Random points (count, in_dim) in (0, 1) that are exact in float32."""
    generator = torch.Generator().manual_seed(SEED)
    # not in torch's default dtype, which a faulty module may have changed
    points = torch.rand(count, in_dim, generator=generator, dtype=torch.float32)
    return points.clamp(1e-3, 1 - 1e-3).to(dtype)


@contextmanager
def no_random_numbers(message: str) -> Iterator[None]:
    """Fail if code inside the context draws from torch's global generator."""
    with seeded(SEED):  # a seed that forward sets itself may have been the last one
        before = torch.get_rng_state()
        yield
        require(torch.equal(before, torch.get_rng_state()), message)


def require_gradients(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    where: str = "",
    advice: str = "",
    **options: Any,
) -> None:
    """Fail unless autograd agrees with finite differences; ``options`` are gradcheck's."""
    try:
        torch.autograd.gradcheck(function, inputs, **options)
    except Exception as error:
        fail(f"gradcheck{where}: {' '.join(str(error).split())[:300]}{advice}")


class _DenseGradient(torch.autograd.Function):
    """The identity, with a dense gradient, since gradcheck refuses sparse ones."""

    @staticmethod
    def forward(ctx: Any, value: Tensor) -> Tensor:
        return value.view_as(value)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Tensor:
        return gradients[0].to_dense()


def require_parameter_gradients(
    module: nn.Module, x: Tensor, where: str = "", advice: str = "", **options: Any
) -> None:
    """``require_gradients`` in the module's trained parameters, and in x if it requires grad."""
    trained = {name: p for name, p in module.named_parameters() if p.requires_grad}

    def values(x: Tensor, *given: Tensor) -> Tensor:
        dense = [_DenseGradient.apply(value) for value in given]  # type: ignore[no-untyped-call] # autograd.Function.apply carries no types
        out: Tensor = called_with(module, dict(zip(trained, dense, strict=True)), x)
        return out

    leaves = [parameter.detach().clone().requires_grad_() for parameter in trained.values()]
    require_gradients(values, (x, *leaves), where, advice, **options)


def require_kernel(model: nn.Module, x: Tensor, where: str = "", advice: str = "") -> None:
    """Fail unless each part of the model's kernel is J Jᵀ."""
    try:
        parts = empirical_ntk(model, x, outputs="full").parts
    except EncbenchError as error:
        fail(f"the kernel{where}: {error}")
    for part, expected in brute_force_ntk(model, x).items():
        message = f"the kernel's part {part!r}{where} is not J Jᵀ{advice}"
        require_equal(parts[part], expected, 1e-9, message)


def _values(module: nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        values: np.ndarray = module(torch.from_numpy(x)).numpy()
    return values


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, Mapping):
        value = list(value.values())
    items = itertools.islice(value, 64) if isinstance(value, list | tuple) else [value]
    return any(isinstance(item, Tensor) for item in items)
