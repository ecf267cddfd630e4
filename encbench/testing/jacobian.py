"""Plain float64 references of an encoding's derivatives: one row of the Jacobian at a time."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn

from encbench.contracts.encoding import Encoding, SparseBlock
from encbench.network.mlp import CoordinateMLP
from encbench.testing.conformance import fail, require

Part = Literal["mlp", "encoding"]


def brute_force_ntk(model: CoordinateMLP, x: Tensor) -> dict[Part, Tensor]:
    """Both parts of the kernel from the Jacobian itself, for a few points.

    Args:
        x: (N, d) in the model's dtype.

    Returns:
        "mlp" and "encoding", (N·O, N·O) each; point n and output a stand at n·O + a.
    """
    outputs = model(x).flatten()  # (N·O,)
    modules: dict[Part, nn.Module] = {"mlp": model.layers, "encoding": model.encoding}
    kernels = {}
    for part, module in modules.items():
        trained = [p for p in module.parameters() if p.requires_grad]
        kernel = torch.zeros(len(outputs), len(outputs), dtype=x.dtype)
        if trained:
            rows = []
            for output in outputs:
                gradients = torch.autograd.grad(
                    output, trained, retain_graph=True, allow_unused=True, materialize_grads=True
                )
                rows.append(torch.cat([g.to_dense().flatten() for g in gradients]))
            jacobian = torch.stack(rows)
            kernel = jacobian @ jacobian.T
        kernels[part] = kernel
    return kernels


def check_blocks(encoding: Encoding, x: Tensor, blocks: list[SparseBlock]) -> None:
    """Fail unless the blocks are the Jacobian of ``encoding`` at x (N, d).

    Each row is compared through a random combination of its features: for continuous random
    coefficients, equal products mean equal Jacobians with probability one, and no dense
    (N, out_dim, parameters) tensor is needed.
    """
    tables = dict(encoding.named_parameters())
    _check_form(encoding, x, blocks, tables)
    features = encoding(x)
    for number, block in enumerate(blocks):
        part = features[:, block.start : block.start + block.width]
        table = tables[block.parameter]
        looked_up = torch.einsum("nj,njc->nc", block.weights, table[block.rows])
        require(
            _close(looked_up, part),
            f"block {number} does not give the features: Σ_j weights[n, j] · "
            f"{block.parameter}[rows[n, j], c] differs from feature {block.start} + c by up to "
            f"{_difference(looked_up, part):.3g}; use the rows and weights that forward uses",
        )
    named = sorted({block.parameter for block in blocks})
    generator = torch.Generator().manual_seed(1)
    for n in range(len(x)):
        mix = torch.randn(encoding.out_dim, generator=generator, dtype=x.dtype)
        gradients = torch.autograd.grad(
            features[n] @ mix,
            [tables[name] for name in named],
            retain_graph=True,
            allow_unused=True,
            materialize_grads=True,
        )
        for name, gradient in zip(named, gradients, strict=True):
            expected = torch.zeros_like(tables[name]).detach()
            for block in blocks:
                if block.parameter == name:
                    columns = mix[block.start : block.start + block.width]
                    expected.index_add_(0, block.rows[n], block.weights[n, :, None] * columns)
            gradient = gradient.to_dense()
            require(
                _close(expected, gradient),
                f"sparse_jacobian differs from autograd by up to "
                f"{_difference(expected, gradient):.3g} in {name!r} at x = {x[n].tolist()}; the "
                "blocks of a parameter must cover everything that forward does with it",
            )


def _check_form(
    encoding: Encoding, x: Tensor, blocks: list[SparseBlock], tables: dict[str, torch.nn.Parameter]
) -> None:
    touched: dict[str, set[int]] = {name: set() for name in tables}
    for number, block in enumerate(blocks):
        where = f"block {number} of sparse_jacobian"
        if block.parameter not in tables:
            fail(
                f"{where} names the parameter {block.parameter!r}; named_parameters() has "
                f"{', '.join(map(repr, tables)) or 'none'}"
            )
        table = tables[block.parameter]
        require(
            table.ndim == 2 and tuple(table.shape) == (block.num_rows, block.width),
            f"{where} says {block.num_rows} rows of {block.width} columns, but "
            f"{block.parameter!r} has shape {tuple(table.shape)}",
        )
        require(
            block.rows.ndim == 2
            and block.rows.shape == block.weights.shape
            and len(block.rows) == len(x),
            f"{where}: rows and weights must both be (N, m) with N = {len(x)}, got "
            f"{tuple(block.rows.shape)} and {tuple(block.weights.shape)}",
        )
        require(
            block.rows.dtype == torch.int64 and block.weights.dtype == x.dtype,
            f"{where}: rows must be int64 and weights {x.dtype}, the dtype of x, got "
            f"{block.rows.dtype} and {block.weights.dtype}",
        )
        rows = set(block.rows.flatten().tolist())
        require(
            min(rows) >= 0 and max(rows) < block.num_rows,
            f"{where}: rows reach from {min(rows)} to {max(rows)}, the table has "
            f"{block.num_rows}; clamp or wrap them as forward does",
        )
        require(
            0 <= block.start <= block.start + block.width <= encoding.out_dim,
            f"{where} feeds features {block.start} to {block.start + block.width - 1}, but "
            f"out_dim is {encoding.out_dim}",
        )
        require(
            not rows & touched[block.parameter],
            f"{where} shares rows of {block.parameter!r} with an earlier block; blocks of one "
            "parameter must touch disjoint sets of rows: return None to take the general road",
        )
        touched[block.parameter] |= rows


def _close(a: Tensor, b: Tensor) -> bool:
    return _difference(a, b) <= 1e-10 * max(1.0, float(b.detach().abs().max()))


def _difference(a: Tensor, b: Tensor) -> float:
    return float((a - b).detach().abs().max())
