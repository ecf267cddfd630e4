"""Functions that compare the GPU kernels with float64; as a script, in Triton's interpreter.

``TRITON_INTERPRET=1 python -m tests.encodings.kernel_checks KIND`` runs all cases of a kind of
grid without a GPU. Triton reads the variable when it is imported.
"""

from __future__ import annotations

import copy
import itertools
import sys
from collections.abc import Callable, Iterator
from typing import Any

import torch
from encbench_encodings._tables import weighted_rows
from encbench_encodings.densegrid import DenseGrid
from encbench_encodings.hashgrid import HashGrid
from encbench_encodings.hashgrid_paper import HashGridPaper
from encbench_encodings.mpe import MultigridParametricEncoding
from encbench_encodings.tiledgrid import TiledGrid
from torch import Tensor

from tests.encodings.encoding_checks import border_points, random_points

# Levels that are dense and hashed, with collisions; that wrap at the border; that wrap often.
KINDS: dict[str, tuple[Callable[..., Any], dict[str, Any]]] = {
    "hashgrid": (HashGrid, {"levels": 3, "base_resolution": 2, "max_resolution": 7}),
    "densegrid": (DenseGrid, {"levels": 2, "base_resolution": 3, "max_resolution": 5}),
    "tiledgrid": (TiledGrid, {"levels": 3, "base_resolution": 2, "max_resolution": 7}),
    "hashgrid_paper": (HashGridPaper, {"levels": 3, "base_resolution": 2, "max_resolution": 7}),
    "mpe": (MultigridParametricEncoding, {"resolutions": [3, 5], "include_input": False}),
}
INTERPOLATIONS = {
    kind: ["linear"] if kind in ("hashgrid_paper", "mpe") else ["nearest", "linear", "smoothstep"]
    for kind in KINDS
}
CASES = [
    (kind, interpolation, in_dim, width)
    for kind in KINDS
    for interpolation in INTERPOLATIONS[kind]
    for in_dim in range(1, 4 if kind == "mpe" else 5)
    for width in (1, 2, 3)
]


def grid_of(kind: str, interpolation: str, in_dim: int, width: int, **settings: Any) -> Any:
    """A grid in float32 with values of order one."""
    build, small = KINDS[kind]
    settings = {**small, "features_per_level": width, **settings}
    if kind.startswith("hash"):
        settings.setdefault("log2_hashmap_size", 5)
    if len(INTERPOLATIONS[kind]) > 1:
        settings["interpolation"] = interpolation
    torch.manual_seed(0)
    grid = build(in_dim, **settings)
    torch.nn.init.normal_(grid.table)
    return grid


def points_of(grid: Any, count: int = 40) -> Tensor:
    """Points within [0, 1], at 0 and 1, at cell borders of every level, and outside."""
    inside, outside = random_points(2 * count, grid.in_dim).split(count)
    at_borders = []
    for _, _, _, bits, *_ in grid._levels.tolist():
        scale = torch.tensor(bits, dtype=torch.int32).view(torch.float32).double()
        numbers = (random_points(count // 4, grid.in_dim, seed=1) * (scale + 1)).round()
        at_borders.append((numbers - grid.layout.offset) / scale)
    corners = border_points(grid.in_dim)[:: max(1, 2 ** (2 * grid.in_dim - 5))]
    # only slightly outside: farther away smoothstep's cubic is large and its terms cancel
    points = torch.cat((inside, 1.04 * outside - 0.02, *at_borders, corners)).clamp(-0.02, 1.02)
    return points.float()


def by_rows(grid: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """Features, and the table as a differentiable leaf, with cells computed in x's precision."""
    table = grid.table.detach().double().requires_grad_()
    rows, weights = grid.rows_and_weights(x)
    return weighted_rows(table, rows, weights.double()).flatten(1), table


def in_float64(grid: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """The same with cells computed in float64."""
    double = copy.deepcopy(grid).double()
    return double(x.double()), double.table


def check_features_and_gradient(
    features: Callable[[Any, Tensor], Tensor],
    grid: Any,
    x: Tensor,
    device: str,
    by_kernels: bool = True,
) -> None:
    """Compare features and gradient with references, to 1e-5 of the largest value.

    Args:
        features: computes the features of a grid at x, both on the device.
        grid: on the CPU, like x.
        by_kernels: whether the kernels must have computed the features.
    """
    there = copy.deepcopy(grid).to(device)
    got = features(there, x.to(device))
    assert (type(got.grad_fn).__name__ == "_FeaturesBackward") is by_kernels, got.grad_fn
    grad = torch.randn(got.shape, dtype=torch.float64)
    (got_grad,) = torch.autograd.grad(got, there.table, grad.float().to(device))
    # For nearest, another cell is a large error, so its reference uses the cells of float32.
    smooth = getattr(grid, "interpolation", "linear") != "nearest"
    for reference in (by_rows, in_float64) if smooth else (by_rows,):
        wanted, table = reference(grid, x)
        (wanted_grad,) = torch.autograd.grad(wanted, table, grad.float().double())
        for one, other in ((got, wanted), (got_grad, wanted_grad)):
            scale = float(other.detach().abs().max())
            torch.testing.assert_close(one.cpu().double(), other, rtol=0, atol=1e-5 * scale)


def check_derivatives(features: Callable[[Any, Tensor], Tensor], device: str) -> None:
    """Forward-mode, second and batched derivatives equal those of torch's operations."""
    for interpolation, in_dim in (("linear", 3), ("smoothstep", 2)):
        grid = grid_of("hashgrid", interpolation, in_dim, 2)
        x = points_of(grid, 10)
        there = copy.deepcopy(grid).to(device)
        for one, other in zip(
            derivatives(there, features, x.to(device)),
            derivatives(grid, lambda grid, x: grid.interpolated(grid.table, x), x),
            strict=True,
        ):
            torch.testing.assert_close(one.cpu(), other, rtol=1e-4, atol=1e-4)


def derivatives(
    grid: Any, features: Callable[[Any, Tensor], Tensor], x: Tensor
) -> Iterator[Tensor]:
    table = grid.table
    out = features(grid, x)
    (first,) = torch.autograd.grad(out.pow(2).sum(), table, create_graph=True)
    (second,) = torch.autograd.grad(first.pow(2).sum(), table, create_graph=True)
    (third,) = torch.autograd.grad(second.pow(3).sum(), table)
    yield from (first.detach(), second.detach(), third)

    batch = torch.linspace(-1, 1, 3 * out.numel(), device=x.device).view(3, *out.shape)
    out = features(grid, x)
    yield torch.vmap(lambda grad: torch.autograd.grad(out, table, grad, retain_graph=True)[0])(
        batch
    )
    (batched,) = torch.autograd.grad(out, table, batch, is_grads_batched=True)
    yield batched

    seed = torch.ones_like(out, requires_grad=True)
    (first,) = torch.autograd.grad(features(grid, x), table, seed, create_graph=True)
    batch = torch.linspace(-1, 1, 3 * table.numel(), device=x.device).view(3, *table.shape)
    (batched,) = torch.autograd.grad(first, seed, batch, is_grads_batched=True)
    yield batched

    values = table.detach()
    del grid._parameters["table"]
    try:
        with torch.autograd.forward_ad.dual_level():
            grid.table = torch.autograd.forward_ad.make_dual(values, values.sin())
            out = features(grid, x)
            tangent = torch.autograd.forward_ad.unpack_dual(out).tangent.clone()
    finally:
        grid.table = torch.nn.Parameter(values)
    yield tangent


def check_failure(features: Callable[[Any, Tensor], Tensor], device: str) -> list[str]:
    """If kernels cannot be built, torch's operations are used; returns the warnings about it."""
    import logging

    from encbench_encodings import _kernels

    grid = grid_of("hashgrid", "linear", 2, 2)
    x = points_of(grid)
    messages: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())  # type: ignore[method-assign] # one line
    _kernels.logger.addHandler(handler)
    block, _kernels.BLOCK = _kernels.BLOCK, 3  # not a power of 2, which Triton requires
    try:
        check_features_and_gradient(features, grid, x, device)
        check_features_and_gradient(features, grid, x, device, by_kernels=False)
    finally:
        _kernels.BLOCK, _kernels.failure = block, ""
        _kernels.logger.removeHandler(handler)
    return messages


def check_in_interpreter(kind: str) -> None:
    from encbench_encodings import _kernels

    def features(grid: Any, x: Tensor) -> Tensor:
        return _kernels.fused_features(grid.table, x, grid)

    _kernels.BLOCK = 256  # the interpreter takes the same time per program for any block
    if kind == "derivatives":
        check_derivatives(features, "cpu")
    elif kind == "failure":
        messages = check_failure(features, "cpu")
        assert len(messages) == 1, messages
        assert "without Triton kernels" in messages[0], messages
    for case in itertools.compress(CASES, (case[0] == kind for case in CASES)):
        grid = grid_of(*case)
        check_features_and_gradient(features, grid, points_of(grid, 12), "cpu")
    assert not _kernels.failure


if __name__ == "__main__":
    check_in_interpreter(sys.argv[1])
