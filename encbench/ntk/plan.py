"""Which road each trainable parameter takes: layer, table of a grid, or plain Jacobian.

The roads are proposed from the modules' types and then *proved* on a few points: the gradient
that the factors predict must equal autograd's. What fails (a layer called twice, a weight used
behind its module's back, inputs of higher rank) takes the Jacobian road instead.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import torch
from torch import Tensor, nn

from encbench.encoding import Encoding, SparseBlock
from encbench.errors import NtkError, PluginError
from encbench.network import NTKLinear
from encbench.ntk.taps import Taps

__all__ = ["PARTS", "Layer", "Part", "Plan", "make_plan"]

Part = Literal["mlp", "encoding"]
PARTS: tuple[Part, ...] = ("mlp", "encoding")
Grads = Mapping[str, Tensor | None]
PROBE = 8  # points on which the roads are proved


@dataclass(frozen=True)
class Layer:
    """h = scale · W a + shift · b, with which of W and b are trained."""

    name: str
    part: Part
    scale: float
    shift: float
    weight: str | None
    bias: str | None


@dataclass(frozen=True)
class Plan:
    """Roads of all trainable parameters; every one is on exactly one of them."""

    out_dim: int
    layers: tuple[Layer, ...]
    tables: frozenset[str]
    """Parameters (full names) that the encoding's sparse blocks describe."""
    rest: tuple[str, ...]
    """Parameters (full names) whose Jacobian is formed."""

    numbers_per_point: int
    """Numbers that the factors of all terms hold for each point."""

    @property
    def has_encoding(self) -> bool:
        """Whether any parameter of the encoding is trained."""
        layers = any(layer.part == "encoding" for layer in self.layers)
        return bool(self.tables) or layers or any(part_of(n) == "encoding" for n in self.rest)

    def road(self, name: str) -> Literal["layerwise", "sparse", "jacobian"]:
        """The road of one parameter."""
        if name in self.rest:
            return "jacobian"
        return "sparse" if name in self.tables else "layerwise"


def part_of(name: str) -> Part:
    """Parameters of ``model.encoding`` are the encoding's; all others the MLP's."""
    return "encoding" if name.split(".")[0] == "encoding" else "mlp"


def encoding_of(model: nn.Module) -> Encoding | None:
    """The model's encoding, where it has one that the sparse road can ask."""
    encoding = getattr(model, "encoding", None)
    return encoding if isinstance(encoding, Encoding) else None


def make_plan(model: nn.Module, x: Tensor, trainable: set[str]) -> Plan:
    """Propose a road for each parameter, prove it at some of the points x (N, d), settle it.

    Args:
        model: the private copy made by ``prepare``; unchanged on return.
        trainable: names of the parameters that the kernel runs over.

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
    _check_output(model, probe)
    with Taps(model, [layer.name for layer in layers], features=bool(blocks)) as taps:
        named = dict(model.named_parameters())
        watched = {name: named[name] for name in sorted(trainable)}
        for parameter in watched.values():
            parameter.requires_grad_(True)
        try:
            with torch.enable_grad():
                f = model(probe)
            if not f.requires_grad:
                raise NtkError("the model's output does not depend on any trainable parameter")
            cotangent = torch.linspace(1.0, 2.0, f.shape[1], dtype=f.dtype, device=f.device)
            heard = [name for name in taps.outputs if taps.valid(name, PROBE)]
            wanted = [taps.outputs[name] for name in heard]
            grads = torch.autograd.grad(
                (f * cotangent).sum(), [*wanted, *watched.values()], allow_unused=True
            )
        finally:
            for parameter in watched.values():
                parameter.requires_grad_(False)
    deltas = dict(zip(heard, grads[: len(heard)], strict=True))
    # Tables may ask for sparse gradients.
    whole = [g.to_dense() if g is not None and g.is_sparse else g for g in grads[len(heard) :]]
    true = dict(zip(watched, whole, strict=True))
    proved = tuple(layer for layer in layers if _layer_holds(layer, taps, deltas, true))
    if blocks:
        if taps.FEATURES not in deltas:
            tables = frozenset()  # the encoding was not called once with x: no block applies
        else:
            _prove_tables(encoding, blocks, deltas[taps.FEATURES], true)
    covered = {n for layer in proved for n in (layer.weight, layer.bias) if n} | tables
    rest = tuple(sorted(trainable - covered))
    numbers = sum(
        taps.inputs[layer.name].shape[1] + f.shape[1] * taps.outputs[layer.name].shape[1]
        for layer in proved
    )
    if tables and encoding is not None:
        numbers += f.shape[1] * encoding.out_dim + sum(3 * b.rows.shape[1] for b in blocks)
    return Plan(f.shape[1], proved, tables, rest, numbers)


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


def _check_output(model: nn.Module, probe: Tensor) -> None:
    with torch.no_grad():
        f = model(probe)
        if not isinstance(f, Tensor) or f.ndim != 2 or len(f) != len(probe):
            got = tuple(f.shape) if isinstance(f, Tensor) else type(f).__name__
            raise NtkError(f"the model must map (N, d) to (N, O), got {got} for N = {len(probe)}")
        check_finite(f)
        alone = torch.cat([model(row[None]) for row in probe])
    tolerance = 1e4 * torch.finfo(f.dtype).eps * float(f.abs().max() + 1)
    if float((alone - f).abs().max()) > tolerance:
        raise NtkError(
            "f(x) changes with the other points of the batch (or at random), and the kernel needs "
            "f(x) to depend on x alone; remove what mixes the points"
        )


def check_finite(f: Tensor) -> None:
    """Raise NtkError where a model's output holds NaN or infinity."""
    if not bool(torch.isfinite(f).all()):
        raise NtkError("the model's output is not finite; its weights have diverged")


def _close(predicted: Tensor, true: Tensor | None) -> bool:
    if true is None:
        return not bool(predicted.any())
    scale = float(true.abs().max())
    error = float((predicted - true.reshape(predicted.shape)).abs().max())
    return error <= 1e5 * torch.finfo(true.dtype).eps * scale


def _layer_holds(layer: Layer, taps: Taps, deltas: Grads, true: Grads) -> bool:
    if layer.name not in deltas:
        return False
    a, delta = taps.inputs[layer.name], deltas[layer.name]  # (n, n_in), (n, n_out)
    if delta is None:
        delta = torch.zeros_like(taps.outputs[layer.name])
    weight_holds = layer.weight is None or _close(layer.scale * delta.t() @ a, true[layer.weight])
    return weight_holds and (
        layer.bias is None or _close(layer.shift * delta.sum(0), true[layer.bias])
    )


def sparse_blocks(encoding: Encoding, x: Tensor, trainable: set[str]) -> list[SparseBlock]:
    """The encoding's blocks for trained tables at x (N, d), checked against their contract.

    Raises:
        PluginError: a block names no parameter, or its rows, weights or features cannot be.
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
    if block.start < 0 or block.start + block.width > encoding.out_dim:
        raise _broken(
            encoding,
            f"features {block.start} to {block.start + block.width} of {encoding.out_dim}",
        )
    low, high = int(block.rows.min()), int(block.rows.max())
    if low < 0 or high >= block.num_rows:
        raise _broken(encoding, f"rows {low} to {high} of a table of {block.num_rows}")


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


def _prove_tables(
    encoding: Encoding | None,
    blocks: Sequence[SparseBlock],
    delta: Tensor | None,
    true: Grads,
) -> None:
    assert encoding is not None, "blocks come from an encoding"
    for parameter in {block.parameter for block in blocks}:
        mine = [block for block in blocks if block.parameter == parameter]
        size = (mine[0].num_rows, mine[0].width)
        got = true["encoding." + parameter]
        if delta is None:
            continue
        predicted = torch.zeros(size, dtype=delta.dtype, device=delta.device)
        for block in mine:
            g = delta[:, None, block.start : block.start + block.width]
            values = (block.weights[:, :, None] * g).flatten(0, 1)
            predicted.index_add_(0, block.rows.flatten(), values)
        if not _close(predicted, got):
            raise _broken(
                encoding, f"the blocks of {parameter!r} disagree with autograd; compare the two"
            )
