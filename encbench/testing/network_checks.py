"""The checks of networks."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encbench.contracts.encoding import Encoding
from encbench.contracts.network import Network
from encbench.errors import ParameterError
from encbench.suite.config import NetworkConfig
from encbench.suite.networks import network_from
from encbench.suite.seeding import seeded
from encbench.testing.conformance import fail, require, require_equal, skip, tensor_text
from encbench.testing.module_checks import (
    SEED,
    Coordinates,
    ModuleConformance,
    SmallGrid,
    inner_points,
    require_kernel,
    require_parameter_gradients,
)

IN_DIM = OUT_DIM = 2
WIDTH = 8
DEPTHS = (2, 4, 8)
"""Depths to try, since a network may need a certain one; the first that it takes is used."""
Sample = type[Coordinates] | type[SmallGrid]
ENCODINGS: tuple[Sample, ...] = (Coordinates, SmallGrid)


class NetworkConformance(ModuleConformance):
    """Checks that a network keeps the contract of ``encbench.Network``.

    Set ``network`` to the class and ``parameters`` to its own. It is checked with two encodings,
    if it takes them: the coordinates, and a small grid with as many features. All random numbers
    come from fixed seeds.
    """

    kind = "network"
    network: ClassVar[type[Network] | None] = None
    """The class to check."""
    alone = slice(2, 5)  # some layers take no batch of one

    def test_it_is_documented(self) -> None:
        """Docstring, equation and source are there."""
        self.advise_docstring()
        self.advise_text("equation", "f(x) = W₂ φ(W₁ γ(x) + b₁) + b₂")
        self.advise_text("source", "authors, title, venue, year, equation")

    def test_shapes_and_dtypes(self) -> None:
        """Outputs are (N, O) in the dtype of the points, and float32 and float64 ones agree."""
        for model in self.each():
            outputs = {}
            for dtype in (torch.float32, torch.float64):
                out = model.to(dtype)(inner_points(7, IN_DIM, dtype))
                require(
                    isinstance(out, Tensor) and out.shape == (7, OUT_DIM) and out.dtype == dtype,
                    f"for 7 points in {dtype} the output is {tensor_text(out)}; expected "
                    f"(7, {OUT_DIM}) in {dtype}",
                )
                self.comparable(model, inner_points(7, IN_DIM, dtype))
                outputs[dtype] = out.detach().double()
            single, double = outputs.values()
            require_equal(single, double, 1e-2, "float32 outputs differ from float64 ones")

    def test_gradients(self) -> None:
        """Gradients in the parameters agree with finite differences."""
        x = inner_points(3, IN_DIM)
        for model in self.learning():
            self.comparable(model, x)
            require_parameter_gradients(model, x, fast_mode=True)

    def test_training_reaches_every_parameter(self) -> None:
        """The objective is a finite scalar with a gradient in every parameter."""
        x = inner_points(9, IN_DIM)
        for model in self.learning():
            loss = model.objective(_squares, x, torch.ones(9, OUT_DIM, dtype=x.dtype))
            require(
                isinstance(loss, Tensor) and loss.ndim == 0 and bool(torch.isfinite(loss)),
                f"objective returned {tensor_text(loss)}, expected a finite scalar",
            )
            learned = {n: p for n, p in model.named_parameters() if p.requires_grad}
            gradients = torch.autograd.grad(loss, list(learned.values()), allow_unused=True)
            for name, gradient in zip(learned, gradients, strict=True):
                require(
                    gradient is not None,
                    f"no gradient of the objective reaches {name!r}; use the parameter, or drop it",
                )

    def test_kernel(self) -> None:
        """The NTK is J Jᵀ."""
        x = inner_points(6, IN_DIM)
        for model in self.learning():
            self.comparable(model, x)
            require_kernel(model, x)

    def test_it_can_be_built_without_memory(self) -> None:
        """On torch's device "meta", on which planning builds it, it has as many parameters."""
        for encoding, model in zip(self._taken(), self.each(), strict=True):
            with torch.device("meta"):
                try:
                    light = self._built(encoding, self._depth)
                except Exception as error:
                    fail(f'on device "meta": {type(error).__name__}: {error}')
            counts = light.parameter_counts(), model.parameter_counts()
            require(counts[0] == counts[1], f'on device "meta" {counts[0]}, elsewhere {counts[1]}')

    def each(self, seed: int = SEED) -> Iterator[Network]:
        """The network with each sample encoding that it takes, in float64."""
        for encoding in self._taken():
            with seeded(seed):
                model = self._built(encoding, self._depth)
            yield model.double()

    def samples(self, seed: int = SEED) -> Iterator[tuple[Network, Tensor]]:
        """The networks of ``each``, with points."""
        return ((model, inner_points(9, IN_DIM)) for model in self.each(seed))

    def learning(self) -> list[Network]:
        """The networks of ``each`` that have trained parameters."""
        found = [
            model
            for model in self.each()
            if any(parameter.requires_grad for parameter in model.parameters())
        ]
        return found or skip("behind the sample encodings it has no trained parameters")

    _depth = DEPTHS[0]

    def _taken(self) -> list[Sample]:
        """The sample encodings that the network takes, at the smallest possible depth."""
        refused = ""
        for depth in DEPTHS:
            taken: list[Sample] = []
            for encoding in ENCODINGS:
                try:
                    self._built(encoding, depth)
                except ParameterError as error:
                    refused = str(error)
                else:
                    taken.append(encoding)
            if taken:
                self._depth = depth
                return taken
        fail(f"the network takes no sample encoding at any depth of {DEPTHS}: {refused}")

    def _built(self, encoding: Sample, depth: int) -> Network:
        config = NetworkConfig(kind=self.subject.__name__, width=WIDTH, depth=depth)
        try:
            model = network_from(
                self.subject, self.validated(), config, encoding(IN_DIM), OUT_DIM, None
            )
        except ParameterError:
            raise
        except Exception as error:
            fail(
                f"{error}; __init__ takes encoding and out_dim, the settings that it uses by name, "
                "and its own parameters as typed keywords, and calls "
                "super().__init__(encoding, out_dim)"
            )
        require(
            isinstance(getattr(model, "encoding", None), Encoding) and model.out_dim == OUT_DIM,
            f"{self.subject.__name__} has no encoding, or another out_dim; call "
            "super().__init__(encoding, out_dim) in its __init__",
        )
        return model


def _squares(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    return F.mse_loss(model(x), y)
