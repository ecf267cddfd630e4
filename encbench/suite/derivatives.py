"""Check that a network has the derivatives that a task's loss uses."""

from __future__ import annotations

from collections.abc import Callable
from copy import deepcopy
from typing import Any

import torch
from torch import Tensor

from encbench.contracts.encoding import Encoding
from encbench.contracts.task import Task
from encbench.errors import ParameterError, PluginError, SuiteError
from encbench.network.activations import activation_of
from encbench.plugins.registry import Offer, Registry
from encbench.suite.config import NetworkConfig, PluginRef, sorted_json
from encbench.suite.networks import built_encoding, network_class, taken_by
from encbench.suite.seeding import seeded

INTERVALS, HALVINGS = 64, 26
SHARE = 1e-5
"""Minimum size of a jump, relative to the largest value; a smooth function changes less over an
interval of 2^-32."""
ORDER = ("", "first", "second")
_lacking: dict[Any, int | None] = {}


def check_derivatives(
    task: type[Task],
    reference: PluginRef,
    wanted: int,
    text: str,
    encoding: PluginRef,
    network: NetworkConfig,
    registry: Registry,
) -> None:
    """Refuse an encoding or an activation without a derivative that the task's loss uses.

    Args:
        task, reference: the task's class, and the task as requested.
        wanted: number of derivatives that the loss uses.
        text, encoding: the encoding as written in the suite, and as requested.

    Raises:
        SuiteError: the encoding or the activation lacks one.
        PluginError: the encoding cannot be built.
    """
    if wanted < 1:
        return
    offer = registry.find("encoding", encoding.name)
    cls: type[Encoding] = offer.load()
    key = cls, sorted_json(encoding.parameters), task, sorted_json(reference.parameters)
    try:
        if key not in _lacking:
            known: Any = task if hasattr(task, "in_dim") else task(**deepcopy(reference.parameters))
            built = _built(offer, known.in_dim, encoding)
            _lacking[key] = first_lacking(built, known.in_dim, wanted)
    except (ParameterError, PluginError):
        raise
    except Exception:
        return  # an error of the data, or of a call in float64: the cell will record it
    times = "once" if wanted == 1 else "twice"
    needs = f"task {str(reference.label)!r} differentiates the network {times} in x"
    if (lacks := _lacking[key]) is not None:
        raise SuiteError(
            f"{needs}, and encoding {text!r} has no {ORDER[lacks]} derivative; take a smooth one, "
            "such as ffe, or a grid with interpolation=smoothstep"
        )
    if "activation" not in taken_by(network_class(network.kind, registry)[0]):
        return  # the network has its own layers: if they are not smooth, the cell will record it
    chosen = cls.activation if network.activation == "auto" else network.activation
    activation = activation_of(chosen or "relu", registry)
    described = type(activation), str(activation), wanted
    if described not in _lacking:
        with seeded(0):
            elementwise = activation.module().double().requires_grad_(False)
        _lacking[described] = first_lacking(lambda x: elementwise(6 * x - 3), 1, wanted)
    if (lacks := _lacking[described]) is not None:
        raise SuiteError(
            f"{needs}, and the activation {str(activation)!r} has no {ORDER[lacks]} derivative; "
            "give network.activation a smooth one, such as tanh, gelu or sine"
        )


def _built(offer: Offer, in_dim: int, reference: PluginRef) -> Encoding:
    with seeded(0):
        encoding: Encoding = offer.call(
            lambda cls: built_encoding(cls, in_dim, reference.parameters)
        ).double()
        with torch.no_grad():
            for parameter in encoding.parameters():
                if not parameter.any():  # a table may be initialized with zeros
                    parameter.copy_(torch.randn_like(parameter))
    return encoding.requires_grad_(False)


def first_lacking(function: Callable[[Tensor], Tensor], dim: int, wanted: int) -> int | None:
    """The lowest order of derivative in x, up to ``wanted``, that a real or complex function
    (N, dim) -> (N, F) lacks on [0, 1]^dim; None if it lacks none.

    A derivative is lacking if the one before it jumps: autograd's values between jumps, such as
    the zero second derivative of a linear interpolation, say nothing about the function.
    """
    generator = torch.Generator().manual_seed(0)
    base = torch.rand(1, dim, generator=generator, dtype=torch.float64)

    def real(x: Tensor) -> Tensor:
        found = function(x)
        return torch.view_as_real(found).flatten(1) if found.is_complex() else found

    features = real(base.repeat(2, 1)).shape[1]
    weights = torch.randn(features, generator=generator, dtype=torch.float64)
    for axis in range(dim):
        along = torch.eye(dim, dtype=torch.float64)[axis]

        def value(t: Tensor, along: Tensor = along) -> Tensor:  # (n,) -> (n,)
            # jumps of single features do not cancel in a random sum
            return real(base * (1 - along) + t[:, None] * along).to(torch.float64) @ weights

        def slope(t: Tensor, value: Callable[[Tensor], Tensor] = value) -> Tensor:
            t = t.clone().requires_grad_()
            found: Tensor = torch.autograd.grad(value(t).sum(), t)[0]
            return found

        for order, derivative in enumerate((value, slope)[:wanted], start=1):
            if _jumps(derivative):
                return order
    return None


def _jumps(function: Callable[[Tensor], Tensor]) -> bool:
    """Whether a function (n,) -> (n,) on [0, 1] jumps: repeatedly takes the half interval with the
    larger change, which vanishes if the function is continuous."""
    edges = torch.linspace(0.001, 0.999, INTERVALS + 1, dtype=torch.float64)
    low, high = edges[:-1], edges[1:]
    at_low, at_high = function(low).detach(), function(high).detach()
    scale = float(torch.stack([at_low, at_high]).abs().max())
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        at = function(middle).detach()
        left = (at - at_low).abs() > (at_high - at).abs()
        low, high = torch.where(left, low, middle), torch.where(left, middle, high)
        at_low, at_high = torch.where(left, at_low, at), torch.where(left, at, at_high)
    return float((at_high - at_low).abs().max()) > SHARE * scale
