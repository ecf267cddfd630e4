"""The checks of encodings, and the points that they use."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from encbench.contracts.encoding import Encoding, SparseBlock
from encbench.errors import PluginError
from encbench.network.mlp import CoordinateMLP
from encbench.ntk.autograd import close, dense
from encbench.ntk.structure import disagreement, sparse_blocks, table_gradients
from encbench.suite.seeding import seeded
from encbench.testing.conformance import fail, require, require_equal, skip
from encbench.testing.module_checks import (
    SEED,
    ModuleConformance,
    inner_points,
    require_kernel,
    require_parameter_gradients,
)

DTYPES = (torch.float32, torch.float64)
FAST_GRADCHECK = 500
"""Number of parameters above which gradcheck uses random directions instead of each parameter."""
JACOBIAN_BYTES = 1 << 30


def border_points(in_dim: int, dtype: torch.dtype) -> Tensor:
    """(5^in_dim, in_dim): corners, edges and faces of [0, 1]^in_dim, and points just inside."""
    inside = torch.finfo(dtype).eps
    axis = torch.tensor([0.0, inside, 0.5, 1 - inside, 1.0], dtype=dtype)
    return torch.cartesian_prod(*[axis] * in_dim).reshape(-1, in_dim)


class EncodingConformance(ModuleConformance):
    """Checks that an encoding keeps the contract of ``encbench.Encoding``.

    Set ``encoding`` to the class and ``parameters`` to small values: a table of a hundred rows
    shows the same errors as one of a million. All random numbers come from fixed seeds.
    """

    kind = "encoding"
    encoding: ClassVar[type[Encoding] | None] = None
    """The class to check."""
    dims: ClassVar[Sequence[int] | None] = None
    """Numbers of coordinates to check with; from ``min_dim`` to ``max_dim`` unless given."""
    differentiable: ClassVar[bool] = False
    """Whether derivatives in x are checked, too; training needs none. For slowly varying features
    only: the check compares them with finite differences of step 1e-6."""

    def test_it_is_documented(self) -> None:
        """Docstring, equation and source are there."""
        self.advise_docstring()
        self.advise_text("equation", "γ(x) = [sin(2^l x), cos(2^l x)] for l < L")
        self.advise_text("source", "authors, title, venue, year, equation")

    def test_shapes(self) -> None:
        """Features are (N, out_dim) in every supported dimension."""
        for in_dim, count in itertools.product(self.each_dim(), (1, 7)):
            encoding = self.build(in_dim)
            features = self.values(encoding, inner_points(count, in_dim))
            require(
                tuple(features.shape) == (count, encoding.out_dim),
                f"for {count} points of {in_dim} coordinates the features have shape "
                f"{tuple(features.shape)}, expected (N, out_dim) = ({count}, {encoding.out_dim}); "
                "correct forward, or out_dim in super().__init__",
            )

    def test_dtypes(self) -> None:
        """float32 stays float32, float64 stays float64, and both agree."""
        for in_dim in self.each_dim():
            results = {}
            for dtype in DTYPES:
                encoding = self.build(in_dim, dtype)
                # inner points are exact in float32: both see the same
                results[dtype] = self.comparable(encoding, inner_points(32, in_dim, dtype))
                require(
                    results[dtype].dtype == dtype,
                    f"x and parameters are {dtype} and the features {results[dtype].dtype}; "
                    "create tensors in x.dtype, and convert buffers with .to(x.dtype)",
                )
            single, double = (results[dtype].detach().double() for dtype in DTYPES)
            errors = (single - double).abs().amax(1) / double.abs().max().clamp(min=1e-30)
            # a point at a cell's border may fall to either side: the median must agree
            error = float(errors.median())
            require(
                error < 1e-2,
                f"with {in_dim} coordinates float32 features differ from float64 ones by "
                f"{error:.2g} of the largest feature; lower the highest frequency, or compute "
                "the phase so that float32 holds it",
            )

    def test_devices(self) -> None:
        """Features on a CUDA device are those of the CPU."""
        if not torch.cuda.is_available():
            skip("torch finds no CUDA device here")
        in_dim = self.one_dim()
        encoding, x = self.build(in_dim), inner_points(32, in_dim)
        expected = self.comparable(encoding, x)
        found = self.values(encoding.cuda(), x.cuda())
        require(
            found.device.type == "cuda",
            f"x is on cuda and the features on {found.device}; create tensors on x.device",
        )
        require_equal(found.cpu(), expected, 1e-9, "features on cuda differ from the CPU's")

    def test_gradients(self) -> None:
        """Gradients in the parameters agree with finite differences."""
        for in_dim in self.each_dim():
            encoding, x = self.build(in_dim), inner_points(5, in_dim)
            trained = {n: p for n, p in encoding.named_parameters() if p.requires_grad}
            if not trained and not self.differentiable:
                skip("it has no trained parameters")
            self.comparable(encoding, x)
            self._require_used(encoding, x, trained)
            size = sum(parameter.numel() for parameter in trained.values())
            require_parameter_gradients(
                encoding,
                x.requires_grad_(self.differentiable),
                f" with {in_dim} coordinates",
                ". Is everything between the parameters and the features differentiable, and a "
                "custom backward right?",
                fast_mode=size > FAST_GRADCHECK,
                nondet_tol=1e-12,
            )

    def test_borders(self) -> None:
        """Features and gradients are finite at the borders of the domain."""
        for in_dim, dtype in itertools.product(self.each_dim(), DTYPES):
            encoding, x = self.build(in_dim, dtype), border_points(in_dim, dtype)
            self.finite(encoding, inner_points(9, in_dim, dtype))  # else not a matter of borders
            features = self.values(encoding, x)
            bad = ~torch.isfinite(features).all(1)
            if bad.any():
                fail(
                    f"features are not finite at x = {x[bad][0].tolist()} ({dtype}); the domain "
                    "is closed: 0 and 1 belong to it"
                )
            trained = [p for p in encoding.parameters() if p.requires_grad]
            if trained and features.requires_grad:
                gradients = torch.autograd.grad(features.sum(), trained, allow_unused=True)
                require(
                    all(torch.isfinite(g.to_dense()).all() for g in gradients if g is not None),
                    f"the parameters' gradients are not finite at the borders ({dtype})",
                )

    def test_sparse_jacobian(self) -> None:
        """sparse_jacobian, if there is one, is autograd's Jacobian."""
        for in_dim in self.each_dim():
            encoding = self.build(in_dim)
            points = torch.cat((inner_points(6, in_dim), border_points(in_dim, torch.float64)[:6]))
            if encoding.sparse_jacobian(points) is None:
                skip(
                    "no sparse_jacobian: the kernel is computed by the general method, more slowly"
                )
            try:
                self._check_blocks(encoding, points)
            except PluginError as error:
                fail(str(error))

    def _check_blocks(self, encoding: Encoding, x: Tensor) -> None:
        tables = {name: p for name, p in encoding.named_parameters() if p.requires_grad}
        blocks = sparse_blocks(encoding, x, {f"encoding.{name}" for name in tables})
        features = self.comparable(encoding, x)
        for number, block in enumerate(blocks):
            if any(_feed_alike(block, other) for other in blocks):
                continue  # the features may be sums to which this block contributes
            table = tables[block.parameter].view(block.num_rows, block.width)
            found = torch.einsum("nj,njc->nc", block.weights, table[block.rows])
            if block.factor is not None:
                found = block.factor * found
            expected = features[:, block.start : block.start + block.width]
            require(
                close(found, expected),
                f"block {number} does not give the features: Σ_j weights[n, j] · "
                f"{block.parameter}[rows[n, j], c] differs from feature {block.start} + c by up to "
                f"{float((found - expected).detach().abs().max()):.3g}; use the rows and weights "
                "that forward uses",
            )
        # for random coefficients, equal gradients mean equal Jacobians with probability one
        mix = torch.randn(features.shape, generator=torch.Generator().manual_seed(1)).to(x)
        predicted = table_gradients(blocks, mix)
        true = torch.autograd.grad(
            (features * mix).sum(),
            [tables[name] for name in predicted],
            allow_unused=True,
            materialize_grads=True,
        )
        for (name, found), gradient in zip(predicted.items(), true, strict=True):
            if not close(found, dense(gradient).view_as(found)):
                raise disagreement(encoding, name)

    def test_kernel(self) -> None:
        """The NTK of a network with it is J Jᵀ."""
        for in_dim in self.each_dim():
            encoding = self.build(in_dim)
            self.comparable(encoding, inner_points(6, in_dim))
            with seeded(SEED):
                model = CoordinateMLP(encoding, out_dim=2, width=8, depth=1).double()
            row = 8 * sum(parameter.numel() for parameter in model.parameters())
            count = min(6, JACOBIAN_BYTES // (4 * row))
            if count < 2:
                skip("a Jacobian of these parameters takes over a gigabyte; give smaller ones")
            require_kernel(
                model,
                inner_points(count, in_dim),
                f" with {in_dim} coordinates",
                "; check sparse_jacobian, and that rows are independent",
            )

    def _require_used(self, encoding: Encoding, x: Tensor, trained: Mapping[str, Tensor]) -> None:
        features = self.values(encoding, x)
        if trained:
            require(
                features.requires_grad,
                "the features do not depend on the parameters for autograd; is there a detach() "
                "or no_grad() in forward?",
            )
            gradients = torch.autograd.grad(
                features.sum(), list(trained.values()), allow_unused=True
            )
            for name, gradient in zip(trained, gradients, strict=True):
                require(
                    gradient is not None,
                    f"forward does not use the parameter {name!r}; use it, or drop it",
                )

    def each_dim(self) -> Sequence[int]:
        """The numbers of coordinates to check with."""
        if self.dims is not None:
            return self.dims
        return range(self.subject.min_dim, self.subject.max_dim + 1)

    def one_dim(self) -> int:
        """The number of coordinates nearest to two that the encoding takes."""
        return min(self.each_dim(), key=lambda in_dim: abs(in_dim - 2))

    def build(self, in_dim: int, dtype: torch.dtype = torch.float64, seed: int = SEED) -> Encoding:
        """Build the encoding with this seed."""
        values = self.validated()
        with seeded(seed):
            try:
                encoding = self.subject(in_dim, **values)
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
                given = ", ".join(f"{name}={value!r}" for name, value in values.items())
                fail(
                    f"{self.subject.__name__}(in_dim={in_dim}, {given}) raised {said}; "
                    "in_dim comes first, and every in_dim from min_dim to max_dim must work"
                )
        self._require_contract(encoding, in_dim)
        self.require_parameters_kept(values)
        return encoding.to(dtype)  # type: ignore[no-any-return] # nn.Module.to returns itself

    def samples(self, seed: int = SEED) -> Iterator[tuple[Encoding, Tensor]]:
        """The encoding in every supported dimension, with points."""
        for in_dim in self.each_dim():
            yield self.build(in_dim, seed=seed), inner_points(9, in_dim)

    def values(self, module: nn.Module, x: Tensor) -> Tensor:
        """The features of x; an exception in forward fails the check."""
        shape = f"x of shape {tuple(x.shape)}, {x.dtype}"
        try:
            features: Tensor = module(x)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            fail(f"forward raised {said} for {shape}; it takes one tensor (N, in_dim) in [0, 1]")
        require(
            isinstance(features, Tensor),
            f"forward returned {type(features).__name__} for {shape}, expected one tensor",
        )
        return features

    def _require_contract(self, encoding: Any, in_dim: int) -> None:
        require(
            isinstance(encoding, Encoding),
            f"{self.subject.__name__} is not a subclass of encbench.Encoding; derive it from that",
        )
        self.require_sizes(encoding, "in __init__, call super().__init__(in_dim, out_dim=…) first")
        require(
            encoding.in_dim == in_dim,
            f"built for in_dim={in_dim}, the encoding says in_dim={encoding.in_dim}; pass in_dim "
            "on to super().__init__",
        )


def _feed_alike(block: SparseBlock, other: SparseBlock) -> bool:
    """Whether two blocks belong to different tables and feed a common feature."""
    apart = block.start + block.width <= other.start or other.start + other.width <= block.start
    return block.parameter != other.parameter and not apart
