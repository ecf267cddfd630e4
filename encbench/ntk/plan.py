"""Which road each trainable parameter takes: layer, table of a grid, or plain Jacobian.

The roads are proposed from the modules' types and then *proved* on a few points: the gradient
that the factors predict must equal autograd's. What fails (a layer called twice, a weight used
behind its module's back, inputs of higher rank) takes the Jacobian road instead.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

import torch
from torch import Tensor, nn

from encbench.contracts.encoding import Encoding
from encbench.errors import NtkError
from encbench.network.mlp import NTKLinear
from encbench.ntk.blocks import Grads, close, prove_tables, sparse_blocks
from encbench.ntk.taps import Taps

__all__ = ["PARTS", "Layer", "Part", "Plan", "make_plan"]

Part = Literal["mlp", "encoding"]
PARTS: tuple[Part, ...] = ("mlp", "encoding")
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
    tried = [_proved(layer, taps, deltas, true) for layer in layers]
    proved = tuple(layer for layer in tried if layer is not None)
    if encoding is not None and blocks:
        if taps.FEATURES not in deltas:
            tables = frozenset()  # the encoding was not called once with x: no block applies
        else:
            prove_tables(encoding, blocks, deltas[taps.FEATURES], true)
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
        raise NtkError(
            "the model's output is not finite: its weights have diverged, or its encoding gives NaN"
        )


def _proved(layer: Layer, taps: Taps, deltas: Grads, true: Grads) -> Layer | None:
    """The layer with those of its parameters whose gradient is what its factors say."""
    if layer.name not in deltas:
        return None
    a, delta = taps.inputs[layer.name], deltas[layer.name]  # (n, n_in), (n, n_out)
    if delta is None:
        delta = torch.zeros_like(taps.outputs[layer.name])
    weight, bias = layer.weight, layer.bias
    if weight and not close(layer.scale * delta.t() @ a, true[weight]):
        weight = None
    if bias and not close(layer.shift * delta.sum(0), true[bias]):
        bias = None
    return replace(layer, weight=weight, bias=bias) if weight or bias else None
