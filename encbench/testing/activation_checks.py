"""The checks of activations."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
from torch import Tensor, nn

from encbench.contracts.activation import Activation
from encbench.errors import ParameterError
from encbench.network.mlp import CoordinateMLP
from encbench.ntk.model import cast
from encbench.suite.seeding import seeded
from encbench.testing.conformance import advise, fail, require, skip, tensor_text
from encbench.testing.module_checks import (
    SEED,
    Coordinates,
    ModuleConformance,
    inner_points,
    require_gradients,
    require_kernel,
)

WIDTH = 64
"""Width of the layers whose initial weights are checked."""


class ActivationConformance(ModuleConformance):
    """Checks that an activation keeps the contract of ``encbench.Activation``.

    Set ``activation`` to the class and ``parameters`` to its own. Those with complex weights are
    also checked at complex numbers. All random numbers come from fixed seeds.
    """

    kind = "activation"
    activation: ClassVar[type[Activation] | None] = None
    """The class to check."""

    def test_it_is_documented(self) -> None:
        """Name, docstring and source are there."""
        name = self.subject.__name__
        require(
            isinstance(getattr(self.subject, "name", None), str),
            f'{name} has no name; set one in its class, such as name = "bump"',
        )
        self.advise_docstring()
        advise(
            not self.subject.__doc__.startswith(f"{name}("),  # dataclass's own
            f"{name} has no docstring; its first line, the formula, is what `encbench list` shows",
        )
        self.advise_text("source", "authors, title, venue, year, equation")

    def test_it_is_a_value(self) -> None:
        """Two instances with equal parameters are equal, and cannot be changed."""
        first, second = self._built(), self._built()
        advice = "make the class a frozen dataclass: @dataclass(frozen=True)"
        require(first == second, f"two instances with the same parameters differ; {advice}")
        try:
            hash(first)
        except TypeError as error:
            fail(f"{error}; {advice}")

    def test_shapes_and_dtypes(self) -> None:
        """Values are finite, even for large z, and have the shape and dtype of z."""
        for z in self._arguments():
            for dtype in (torch.float32, torch.float64):
                given = z.to(dtype.to_complex() if z.is_complex() else dtype)
                out = self._module()(given)
                expected = given.dtype
                if isinstance(out, Tensor) and self.subject.complex_weights:
                    expected = dtype.to_complex()
                require(
                    isinstance(out, Tensor) and out.shape == given.shape and out.dtype == expected,
                    f"for a tensor {tuple(given.shape)} in {given.dtype} it returns "
                    f"{tensor_text(out)}; an activation keeps the shape and the precision",
                )
                bad = given[~torch.isfinite(out)]
                require(
                    not len(bad),
                    f"φ({bad.flatten()[0].item() if len(bad) else 0:g}) is not finite in {dtype}; "
                    "take a formula that holds there, or bound the parameters by Field(ge=…, le=…)",
                )

    def test_derivative(self) -> None:
        """The derivative is finite, and agrees with finite differences."""
        module = self._module().double().requires_grad_(False)
        for z in self._arguments():
            z = z.clone().requires_grad_()
            out = module(z)
            total = (torch.view_as_real(out) if out.is_complex() else out).sum()
            (slope,) = torch.autograd.grad(total, z, materialize_grads=True)
            bad = z[~torch.isfinite(slope)]
            require(
                not len(bad),
                f"the derivative at {bad.flatten()[0].item() if len(bad) else 0:g} is not finite; "
                "take a formula whose derivative is (torch.where with a safe argument)",
            )
            # avoid 0, where φ may have a kink
            near = (z.detach() / 5 + 0.0137).requires_grad_()
            require_gradients(module, (near,), fast_mode=True)

    def test_initialization(self) -> None:
        """Layers start with finite weights, whose variance is that of ``ntk_gains``."""
        with seeded(SEED):
            layer = nn.Linear(WIDTH, WIDTH)
        with seeded(SEED):
            self._built().initialize(layer)
        weights = layer.weight.detach()
        require(
            bool(torch.isfinite(weights).all()) and bool(weights.any()),
            "initialize leaves weights that are not finite, or all 0; it changes layer.weight in "
            "place, under torch.no_grad()",
        )
        try:
            gains = self._built().ntk_gains()
        except ParameterError as error:
            skip(f"not in NTK parameterization: {error}")
        valid = isinstance(gains, tuple) and len(gains) == 2
        require(
            valid and all(isinstance(g, float | int) and 0 < g < float("inf") for g in gains),
            f"ntk_gains returned {gains!r}; expected two positive factors, of W and of b",
        )
        gain = gains[0]
        found = float(weights.square().mean() * WIDTH)
        require(
            gain == 1 or abs(found / gain**2 - 1) < 0.2,
            f"ntk_gains has g = {gain:g}, but initialize gives weights of variance {found:.3g}/n, "
            f"for which g is {found**0.5:.3g}; make them agree, or leave both out",
        )

    def test_kernel(self) -> None:
        """The NTK of a network with it is J Jᵀ."""
        with seeded(SEED):
            built = CoordinateMLP(Coordinates(2), 2, 6, 2, "standard", activation=self._built())
        require_kernel(cast(built, torch.float64), inner_points(6, 2))

    def samples(self, seed: int = SEED) -> Iterator[tuple[nn.Module, Tensor]]:
        """The activation's module, with real and, if it takes them, complex numbers."""
        return ((self._module(seed).double(), z) for z in self._arguments())

    def _built(self) -> Activation:
        parameters = self.validated()
        try:
            made: Activation = self.subject(**parameters)
        except ParameterError as error:
            fail(str(error))
        except Exception as error:
            fail(f"{type(error).__name__}: {error}; its fields are its parameters, each typed")
        self.require_parameters_kept(parameters)
        return made

    def _module(self, seed: int = SEED) -> nn.Module:
        with seeded(seed):
            made = self._built().module()
        require(
            isinstance(made, nn.Module),
            f"module() returned {tensor_text(made)}, expected a torch.nn.Module",
        )
        return made

    def _arguments(self) -> Iterator[Tensor]:
        """z (41, 3) in [−10, 10] with 0; then, for complex weights, complex z with |z| < 1."""
        z = torch.linspace(-10, 10, 123, dtype=torch.float64).view(41, 3)
        z[20, 1] = 0
        yield z
        if self.subject.complex_weights:
            yield torch.complex(z, z.roll(1)) / 15
