"""How the kernel of each trainable parameter is computed: layerwise, sparse, or by its Jacobian.

Methods are proposed from the types of the modules and then verified at a few points: the gradient
that the factors predict must equal autograd's. Where it does not (a layer called twice, a weight
used outside its module, inputs of higher rank), the Jacobian is used.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from encbench.contracts.encoding import Encoding, SparseBlock
from encbench.errors import NtkError, PluginError
from encbench.network.linear import NTKLinear
from encbench.ntk.model import Hooks, check_output, encoding_of

Part = Literal["mlp", "encoding"]
PARTS: tuple[Part, ...] = ("mlp", "encoding")
KernelMethod = Literal["layerwise", "sparse", "jacobian"]
PROBE = 8  # points at which the methods are verified

Gradients = Mapping[str, Tensor | None]
"""Name to gradient; None stands for zero."""


@dataclass(frozen=True)
class Layer:
    """h = scale · W a + shift · b, and which of W and b are trained."""

    name: str
    part: Part
    scale: float
    shift: float
    weight: str | None
    """Full name of W, or None if it is not trained (or not verified)."""
    bias: str | None
    """Full name of b, likewise."""


@dataclass(frozen=True)
class Structure:
    """What is known of each trainable parameter; every one has exactly one method."""

    out_dim: int
    layers: tuple[Layer, ...]
    tables: frozenset[str]
    """Parameters (full names) that the encoding's sparse blocks describe."""
    rest: tuple[str, ...]
    """Parameters (full names) whose Jacobian is formed."""
    numbers_per_point: int
    """Numbers that the factors of all terms store for each point."""

    @property
    def has_encoding(self) -> bool:
        """Whether any parameter of the encoding is trained."""
        layers = any(layer.part == "encoding" for layer in self.layers)
        return bool(self.tables) or layers or any(part_of(n) == "encoding" for n in self.rest)

    def method(self, name: str) -> KernelMethod:
        """The method used for one trainable parameter."""
        if name in self.rest:
            return "jacobian"
        return "sparse" if name in self.tables else "layerwise"


def part_of(name: str) -> Part:
    """Parameters under ``model.encoding`` are the encoding's, all others the MLP's."""
    return "encoding" if name.split(".")[0] == "encoding" else "mlp"


def find_structure(model: nn.Module, x: Tensor, trainable: set[str]) -> Structure:
    """Propose a method for each parameter, and verify it at some of the points x (N, d).

    Args:
        model: the copy made by ``working_copy``; unchanged on return.
        trainable: names of the parameters that the kernel sums over.

    Raises:
        NtkError: the model's output is not (N, O), not finite, or depends on the whole batch.
        PluginError: the encoding's sparse Jacobian contradicts autograd or its own contract.
    """
    chosen = torch.linspace(0, len(x) - 1, PROBE).round().long()
    probe = x[chosen.to(x.device)]
    layers = _propose_layers(model, trainable)
    encoding = encoding_of(model)
    blocks = [] if encoding is None else sparse_blocks(encoding, probe, trainable)
    tables = frozenset("encoding." + block.parameter for block in blocks)
    check_output(model, probe)
    with Hooks(model, [layer.name for layer in layers], features=bool(blocks)) as hooks:
        out_dim, deltas, true = _probe_gradients(model, probe, hooks, trainable)
    tried = [_verified(layer, hooks, deltas, true) for layer in layers]
    verified = tuple(layer for layer in tried if layer is not None)
    if encoding is not None and blocks:
        if hooks.FEATURES not in deltas:
            tables = frozenset()  # the encoding was not called once with x: no block applies
        else:
            _verify_tables(encoding, blocks, deltas[hooks.FEATURES], true)
    covered = {n for layer in verified for n in (layer.weight, layer.bias) if n} | tables
    rest = tuple(sorted(trainable - covered))
    numbers = sum(
        hooks.inputs[layer.name].shape[1] + out_dim * hooks.outputs[layer.name].shape[1]
        for layer in verified
    )
    if tables and encoding is not None:
        numbers += out_dim * encoding.out_dim + sum(3 * b.rows.shape[1] for b in blocks)
    return Structure(out_dim, verified, tables, rest, numbers)


def _propose_layers(model: nn.Module, trainable: set[str]) -> list[Layer]:
    layers = []
    for name, module in model.named_modules():
        # Exact types: a subclass or a parametrized layer may compute something else. Hooks, too.
        if type(module) not in (nn.Linear, NTKLinear) or module._forward_pre_hooks:
            continue
        if set(module._parameters) != {"weight", "bias"} or module._forward_hooks:
            continue
        scale, shift = (module.scale, module.beta) if type(module) is NTKLinear else (1.0, 1.0)
        prefix = f"{name}." if name else ""
        weight, bias = (n if n in trainable else None for n in (prefix + "weight", prefix + "bias"))
        if name and (weight or bias):
            layers.append(Layer(name, part_of(name), float(scale), float(shift), weight, bias))
    return layers


def _probe_gradients(
    model: nn.Module, probe: Tensor, hooks: Hooks, trainable: set[str]
) -> tuple[int, Gradients, Gradients]:
    """O, and the gradients of one combination of all outputs at the points of the probe.

    The first gradients are with respect to the outputs (n, n_out) of the observed modules that
    were called once, the second with respect to the trainable parameters.
    """
    named = dict(model.named_parameters())
    parameters = {name: named[name] for name in sorted(trainable)}
    for parameter in parameters.values():
        parameter.requires_grad_(True)
    try:
        with torch.enable_grad():
            f = model(probe)
        if not f.requires_grad:
            raise NtkError("the model's output does not depend on any trainable parameter")
        cotangent = torch.linspace(1.0, 2.0, f.shape[1], dtype=f.dtype, device=f.device)
        valid = [name for name in hooks.outputs if hooks.valid(name, PROBE)]
        wanted = [hooks.outputs[name] for name in valid]
        grads = torch.autograd.grad(
            (f * cotangent).sum(), [*wanted, *parameters.values()], allow_unused=True
        )
    finally:
        for parameter in parameters.values():
            parameter.requires_grad_(False)
    # Tables may ask for sparse gradients.
    dense = [g.to_dense() if g is not None and g.is_sparse else g for g in grads[len(valid) :]]
    deltas = dict(zip(valid, grads[: len(valid)], strict=True))
    return f.shape[1], deltas, dict(zip(parameters, dense, strict=True))


def _close(predicted: Tensor, true: Tensor | None) -> bool:
    """Whether a predicted gradient is the true one, up to rounding."""
    if true is None:
        return not bool(predicted.any())
    scale = float(true.abs().max())
    error = float((predicted - true.reshape(predicted.shape)).abs().max())
    return error <= 1e5 * torch.finfo(true.dtype).eps * scale


def _verified(layer: Layer, hooks: Hooks, deltas: Gradients, true: Gradients) -> Layer | None:
    """The layer with those of its parameters whose gradient is the one its factors predict."""
    if layer.name not in deltas:
        return None
    a, delta = hooks.inputs[layer.name], deltas[layer.name]  # (n, n_in), (n, n_out)
    if delta is None:
        delta = torch.zeros_like(hooks.outputs[layer.name])
    weight, bias = layer.weight, layer.bias
    if weight and not _close(layer.scale * delta.t() @ a, true[weight]):
        weight = None
    if bias and not _close(layer.shift * delta.sum(0), true[bias]):
        bias = None
    return replace(layer, weight=weight, bias=bias) if weight or bias else None


def sparse_blocks(encoding: Encoding, x: Tensor, trainable: set[str]) -> list[SparseBlock]:
    """The encoding's blocks for trainable tables at x (N, d), checked against their contract.

    Raises:
        PluginError: a block names no parameter, or its rows, weights or features are invalid.
    """
    with torch.no_grad():
        blocks = encoding.sparse_jacobian(x) or []
    named = dict(encoding.named_parameters())
    for block in blocks:
        _check_block(encoding, block, named.get(block.parameter), len(x))
    kept = [block for block in blocks if "encoding." + block.parameter in trainable]
    for parameter in {block.parameter for block in kept}:
        _check_disjoint(encoding, [block for block in kept if block.parameter == parameter])
    return kept


def _broken(encoding: Encoding, text: str) -> PluginError:
    return PluginError(f"{type(encoding).__name__}.sparse_jacobian: {text}")


def _check_block(
    encoding: Encoding, block: SparseBlock, table: nn.Parameter | None, points: int
) -> None:
    if table is None:
        raise _broken(encoding, f"there is no parameter {block.parameter!r}")
    if table.numel() != block.num_rows * block.width:
        raise _broken(
            encoding,
            f"{block.parameter!r} has {table.numel()} entries, not {block.num_rows} rows of "
            f"{block.width}",
        )
    shape = tuple(block.rows.shape)
    if len(shape) != 2 or shape[0] != points or tuple(block.weights.shape) != shape:
        raise _broken(
            encoding,
            f"rows and weights must be ({points}, m), got {shape} and {tuple(block.weights.shape)}",
        )
    first, last = block.start, block.start + block.width - 1
    if first < 0 or last >= encoding.out_dim:
        raise _broken(
            encoding, f"block of features {first} to {last}, but out_dim is {encoding.out_dim}"
        )
    low, high = int(block.rows.min()), int(block.rows.max())
    if low < 0 or high >= block.num_rows:
        raise _broken(encoding, f"rows {low} to {high} of a table of {block.num_rows} rows")


def _check_disjoint(encoding: Encoding, blocks: Sequence[SparseBlock]) -> None:
    spans = sorted((int(block.rows.min()), int(block.rows.max())) for block in blocks)
    if all(before[1] < after[0] for before, after in pairwise(spans)):
        return
    uses = torch.zeros(blocks[0].num_rows, dtype=torch.int64, device=blocks[0].rows.device)
    for block in blocks:
        used = torch.zeros_like(uses)
        used[block.rows.flatten()] = 1
        uses += used
    if int(uses.max()) > 1:
        raise _broken(
            encoding, f"blocks of {blocks[0].parameter!r} share rows; give each row to one block"
        )


def _verify_tables(
    encoding: Encoding, blocks: Sequence[SparseBlock], delta: Tensor | None, true: Gradients
) -> None:
    """Raise PluginError unless the blocks predict the gradients of their tables.

    Args:
        blocks: at the points where the gradients were taken.
        delta: (n, out_dim), gradient with respect to the features; None for zero.
        true: gradients by full name of the parameter.
    """
    if delta is None:
        return
    for parameter in {block.parameter for block in blocks}:
        own = [block for block in blocks if block.parameter == parameter]
        size = (own[0].num_rows, own[0].width)
        predicted = torch.zeros(size, dtype=delta.dtype, device=delta.device)
        for block in own:
            g = delta[:, None, block.start : block.start + block.width]
            values = (block.weights[:, :, None] * g).flatten(0, 1)
            predicted.index_add_(0, block.rows.flatten(), values)
        if not _close(predicted, true["encoding." + parameter]):
            raise _broken(
                encoding,
                f"the blocks of {parameter!r} disagree with autograd; return the rows and weights "
                "that forward uses",
            )
