"""Choose how the kernel of each trainable parameter is computed: layerwise, sparse or by Jacobian.

Methods are proposed from the types of the modules and then verified over all points: the gradient
that the factors predict must equal autograd's. If it does not (a layer called twice, a weight
used outside its module, inputs of higher rank), the Jacobian is used.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from encbench.contracts.encoding import Encoding, SparseBlock
from encbench.device import prefers_large_pieces
from encbench.errors import NtkError, PluginError
from encbench.network.linear import NTKLinear
from encbench.ntk.autograd import close, gradients, random_like, trained
from encbench.ntk.model import PROBE, cast, check_finite, check_output, copied, encoding_of
from encbench.ntk.terms import chunks

Part = Literal["mlp", "encoding"]
PARTS: tuple[Part, ...] = ("mlp", "encoding")
KernelMethod = Literal["layerwise", "sparse", "jacobian"]
CHUNK = 1024  # points of one forward pass on a CPU
GPU_ROWS = 1 << 14  # points computed together on a GPU
NAMES = {"weight", "bias"}
FEATURES = "encoding (features)"
"""The encoding's name among the observed modules."""


@dataclass(frozen=True)
class Layer:
    """h = scale · W a + shift · b, and which of W and b are trained."""

    name: str
    scale: float
    shift: float
    weight: str | None
    """Full name of W, or None if it is not trained (or not verified)."""
    bias: str | None
    """Full name of b, likewise."""


@dataclass(frozen=True)
class Structure:
    """The method chosen for each trainable parameter, exactly one each."""

    out_dim: int
    layers: tuple[Layer, ...]
    tables: frozenset[str]
    """Parameters (full names) that the encoding's sparse blocks describe."""
    rest: tuple[str, ...]
    """Parameters (full names) whose Jacobian is formed."""
    numbers_per_point: int
    """Numbers that the factors of all terms store per point."""

    def method(self, name: str) -> KernelMethod:
        """The method used for one trainable parameter."""
        if name in self.rest:
            return "jacobian"
        return "sparse" if name in self.tables else "layerwise"


def pieces(x: Tensor, size: int) -> list[slice]:
    """The rows of x, cut into slices of at most ``size``, which fit in a CPU's caches.

    On a GPU slices are larger: launching kernels for small ones takes longer than they compute.
    """
    return chunks(len(x), GPU_ROWS if prefers_large_pieces(x.device) else size)


def part_of(name: str) -> Part:
    """Part that a parameter belongs to: "encoding" under ``model.encoding``, else "mlp"."""
    return "encoding" if name.split(".")[0] == "encoding" else "mlp"


class Hooks:
    """Forward hooks that keep the input and output of modules, as a context manager.

    ``inputs[name]`` is detached; ``outputs[name]`` is part of the graph, even if nothing before
    it requires gradients, so that autograd can differentiate with respect to it.
    """

    def __init__(self, modules: Mapping[str, nn.Module]) -> None:
        self.inputs: dict[str, Tensor] = {}
        self.outputs: dict[str, Tensor] = {}
        self._calls: dict[str, int] = {}
        self._modules = modules

    def __enter__(self) -> Hooks:
        self._handles = [
            module.register_forward_hook(self._recorder(name))
            for name, module in self._modules.items()
        ]
        return self

    def __exit__(self, *exception: object) -> None:
        for handle in self._handles:
            handle.remove()

    def clear(self) -> None:
        """Forget the last forward pass."""
        self.inputs.clear()
        self.outputs.clear()
        self._calls.clear()

    def valid(self, name: str, rows: int) -> bool:
        """Whether the module was called once, and mapped (rows, n_in) to (rows, n_out)."""
        if self._calls.get(name) != 1:
            return False
        shapes = (self.inputs[name].shape, self.outputs[name].shape)
        return all(len(shape) == 2 and shape[0] == rows for shape in shapes)

    def _recorder(self, name: str) -> Callable[[nn.Module, Any, Any], Tensor | None]:
        def record(module: nn.Module, args: Any, out: Any) -> Tensor | None:
            of_tensors = bool(args) and isinstance(args[0], Tensor)
            if not of_tensors or not isinstance(out, Tensor) or out.ndim != 2:
                self._calls[name] = 2  # not a call with one matrix: never valid
                return None
            self._calls[name] = self._calls.get(name, 0) + 1
            self.inputs[name] = args[0].detach()
            h = out if out.requires_grad else out.detach().requires_grad_()
            self.outputs[name] = h
            # An in-place activation must not change h, so it gets a copy.
            return h.clone()

        return record


def find_structure(model: nn.Module, x: Tensor, trainable: set[str]) -> Structure:
    """Propose a method for each parameter and verify it at all points x (N, d), in float64.

    Args:
        model: the copy made by ``working_copy``; unchanged on return.
        trainable: names of the parameters that the kernel sums over.

    Raises:
        NtkError: the model's output is not (N, O), not finite, or depends on the whole batch.
        PluginError: the encoding's sparse Jacobian contradicts autograd or its own contract.
    """
    chosen = torch.linspace(0, len(x) - 1, PROBE).round().long()
    probe = x[chosen.to(x.device)]
    out_dim = check_output(model, probe)
    if x.dtype != torch.float64:  # float32 would hide a slightly wrong gradient
        exact = cast(copied(model), torch.float64)
        with suppress(NtkError):  # a model that works only in float32 is verified in float32
            check_output(exact, probe.double())
            model, x = exact, x.double()
    proposed = _propose_layers(model, trainable)
    comparison = _Comparison(model, proposed, trainable)
    with Hooks(comparison.modules) as hooks:
        for part in pieces(x, CHUNK):
            hooks.clear()
            comparison.add(x[part], hooks)
    verified, called = comparison.verified(), comparison.modules
    encoding, tables = encoding_of(model), comparison.tables
    if encoding is None or FEATURES not in called:
        tables = set()  # the encoding was not called once with x: no block applies
    elif tables - verified:
        raise disagreement(encoding, min(tables - verified).removeprefix("encoding."))
    layers = []
    for layer in proposed:
        weight, bias = (n if n in verified else None for n in (layer.weight, layer.bias))
        if layer.name in called and (weight or bias):
            layers.append(replace(layer, weight=weight, bias=bias))
    covered = {name for layer in layers for name in (layer.weight, layer.bias)} | tables
    stored = [*(layer.name for layer in layers), *([FEATURES] if tables else [])]
    return Structure(
        out_dim,
        tuple(layers),
        frozenset(tables),
        tuple(sorted(trainable - covered)),
        sum(comparison.numbers[name] for name in stored),
    )


class _Comparison:
    """The gradients that autograd computes and those that the factors predict.

    Both are gradients of a random combination of all outputs at all points, so a factor that is
    wrong at a single point is detected with probability one.
    """

    def __init__(self, model: nn.Module, layers: Sequence[Layer], trainable: set[str]) -> None:
        self.model, self.trainable = model, trainable
        self.layers = {layer.name: layer for layer in layers}
        self.modules = {name: model.get_submodule(name) for name in self.layers}
        """The modules that forward has called exactly once with each chunk so far."""
        self.encoding = encoding_of(model)
        if self.encoding is not None:
            self.modules[FEATURES] = self.encoding
        self.tables: set[str] = set()
        self.numbers: dict[str, int] = {}
        """Numbers per point that the factors of each module store."""
        parameters = {name: model.get_parameter(name).detach() for name in sorted(trainable)}
        self.true = {name: torch.zeros_like(value) for name, value in parameters.items()}
        self.predicted = {n: torch.zeros_like(v).contiguous() for n, v in parameters.items()}
        self.generator = torch.Generator().manual_seed(0)

    def add(self, x: Tensor, hooks: Hooks) -> None:
        """Add the gradients at the points x (n, d)."""
        with trained(self.model, list(self.true)) as leaves:
            with torch.enable_grad():
                f = self.model(x)
            check_finite(f, self.model, x)
            if not f.requires_grad:
                raise NtkError("the model's output does not depend on any trainable parameter")
            self.modules = {n: m for n, m in self.modules.items() if hooks.valid(n, len(x))}
            weights = random_like(f, self.generator)
            h = [hooks.outputs[name] for name in self.modules]
            found = gradients(f, [*h, *leaves], weights)
            deltas, true = found[: len(h)], found[len(h) :]
            # Row i of a layer must belong to point i; forward may have sorted the rows.
            each = random_like(f[:, :1], self.generator)
            scaled = gradients(f, h, weights * each, retain_graph=False)
        for name, grad in zip(self.true, true, strict=True):
            self.true[name] += grad
        for name, delta, other in zip(list(self.modules), deltas, scaled, strict=True):
            if not close(other, delta * each):
                del self.modules[name]
            elif name != FEATURES:
                self._add_layer(self.layers[name], hooks.inputs[name], delta, f.shape[1])
            elif torch.equal(hooks.inputs[name], x):
                self._add_tables(x, delta, f.shape[1])
            else:
                del self.modules[name]

    def _add_layer(self, layer: Layer, a: Tensor, delta: Tensor, outputs: int) -> None:
        numbers = a.shape[1] + outputs * delta.shape[1]
        self.numbers[layer.name] = numbers * (1 + delta.is_complex())
        if layer.weight:
            self.predicted[layer.weight].addmm_(delta.t(), a.conj(), alpha=layer.scale)
        if layer.bias:
            self.predicted[layer.bias].add_(delta.sum(0), alpha=layer.shift)

    def _add_tables(self, x: Tensor, delta: Tensor, outputs: int) -> None:
        assert self.encoding is not None, "there are features"
        blocks = sparse_blocks(self.encoding, x, self.trainable)
        for block in blocks:
            name = "encoding." + block.parameter
            add_table_gradient(block, delta, self.predicted[name])
            self.tables.add(name)
        entries, widths = (sum(b.rows.shape[1] for b in blocks), sum(b.width for b in blocks))
        self.numbers[FEATURES] = outputs * (delta.shape[1] + widths) + 3 * entries

    def verified(self) -> set[str]:
        """The parameters whose predicted gradient equals the true one, up to rounding."""
        return {name for name, true in self.true.items() if close(self.predicted[name], true)}


def _propose_layers(model: nn.Module, trainable: set[str]) -> list[Layer]:
    layers = []
    for name, module in model.named_modules():
        # Exact types: a subclass, a parametrized layer or a hook may compute something else.
        if type(module) not in (nn.Linear, NTKLinear) or set(module._parameters) != NAMES:
            continue
        if module._forward_pre_hooks or module._forward_hooks:
            continue
        scale, shift = (module.scale, module.beta) if type(module) is NTKLinear else (1.0, 1.0)
        prefix = f"{name}." if name else ""
        weight, bias = (n if n in trainable else None for n in (prefix + "weight", prefix + "bias"))
        if name and (weight or bias):
            layers.append(Layer(name, float(scale), float(shift), weight, bias))
    return layers


def sparse_blocks(encoding: Encoding, x: Tensor, trainable: set[str]) -> list[SparseBlock]:
    """The encoding's blocks for trainable tables at x (N, d), checked against their contract.

    Raises:
        PluginError: a block names no parameter, its rows, weights or features are invalid, or
            two blocks of one parameter share rows.
    """
    with torch.no_grad():
        blocks = encoding.sparse_jacobian(x) or []
    named = dict(encoding.named_parameters())
    for number, block in enumerate(blocks):
        fault = _fault(block, named, x, encoding.out_dim)
        if fault:
            raise _broken(encoding, f"block {number} {fault}")
    kept = [block for block in blocks if "encoding." + block.parameter in trainable]
    kept = [block for block in kept if not named[block.parameter].is_complex()]
    for parameter in {block.parameter for block in kept}:
        _check_disjoint(encoding, [block for block in kept if block.parameter == parameter])
    return kept


def _broken(encoding: Encoding, text: str) -> PluginError:
    return PluginError(f"{type(encoding).__name__}.sparse_jacobian: {text}")


def disagreement(encoding: Encoding, parameter: str) -> PluginError:
    """The error for blocks that are not the parameter's Jacobian."""
    return _broken(
        encoding,
        f"the blocks of {parameter!r} disagree with autograd; they must cover everything that "
        "forward does with it, with the rows and weights that forward uses",
    )


def _fault(
    block: SparseBlock, tables: Mapping[str, nn.Parameter], x: Tensor, out_dim: int
) -> str | None:
    """What is wrong with a block at x (N, d), or None."""
    if block.parameter not in tables:
        names = ", ".join(map(repr, tables)) or "none"
        return f"names the parameter {block.parameter!r}; named_parameters() has {names}"
    shape, weights = tuple(block.rows.shape), tuple(block.weights.shape)
    size, last = tables[block.parameter].numel(), block.start + block.width - 1
    if size != block.num_rows * block.width:
        return (
            f"says {block.num_rows} rows of {block.width}, but {block.parameter!r} has {size} "
            "entries"
        )
    if len(shape) != 2 or shape[0] != len(x) or weights != shape:
        return f"must have rows and weights of shape ({len(x)}, m), got {shape} and {weights}"
    if block.rows.dtype != torch.int64 or block.weights.dtype != x.dtype:
        return (
            f"must have int64 rows and weights in the dtype of x, {x.dtype}, got "
            f"{block.rows.dtype} and {block.weights.dtype}"
        )
    if block.factor is not None and (
        block.factor.shape != (len(x), block.width) or block.factor.dtype != x.dtype
    ):
        return (
            f"must have a factor of shape ({len(x)}, {block.width}) in {x.dtype}, or None, got "
            f"{tuple(block.factor.shape)} in {block.factor.dtype}"
        )
    if block.start < 0 or last >= out_dim:
        return f"feeds features {block.start} to {last}, but out_dim is {out_dim}"
    low, high = int(block.rows.min()), int(block.rows.max())
    if low < 0 or high >= block.num_rows:
        return (
            f"has rows {low} to {high} of a table of {block.num_rows}; clamp or wrap them as "
            "forward does"
        )
    return None


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
            encoding,
            f"blocks of {blocks[0].parameter!r} share rows; give each row to one block, or return "
            "None to have the Jacobian computed",
        )


def feature_gradient(block: SparseBlock, delta: Tensor) -> Tensor:
    """The part (n, O, width) of delta (n, O, out_dim) that a block looks up, times its factor."""
    g = delta[:, :, block.start : block.start + block.width]
    return g if block.factor is None else g * block.factor[:, None]


def table_gradients(blocks: Sequence[SparseBlock], delta: Tensor) -> dict[str, Tensor]:
    """The gradients of the tables (num_rows, width) that the blocks predict.

    Args:
        delta: (n, out_dim), gradient with respect to the features.
    """
    gradients: dict[str, Tensor] = {}
    for block in blocks:
        if block.parameter not in gradients:
            gradients[block.parameter] = delta.new_zeros(block.num_rows, block.width)
        add_table_gradient(block, delta, gradients[block.parameter])
    return gradients


def add_table_gradient(block: SparseBlock, delta: Tensor, table: Tensor) -> None:
    """Add a block's part of the gradient to ``table``, of any contiguous shape."""
    values = block.weights[:, :, None] * feature_gradient(block, delta[:, None])
    rows = table.view(block.num_rows, block.width)
    rows.index_add_(0, block.rows.flatten(), values.flatten(0, 1))
