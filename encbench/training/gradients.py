"""Whether training can change the parameters of a network and of its encoding."""

from __future__ import annotations

from collections.abc import Collection

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from encbench.contracts.encoding import Part, marked
from encbench.contracts.network import Network, in_encoding
from encbench.errors import PluginError, bounded, plural
from encbench.ntk.autograd import called_with, dense, random_like
from encbench.ntk.model import PROBE, copied
from encbench.suite.seeding import all_seeded


def check_parameters(model: Network, x: Tensor) -> None:
    """Refuse a network whose parameters would be counted but never trained, or the reverse.

    Only some trained parameters of its encoding need a gradient at the points x (N, d), with the
    weights that it has or with others; parameters that its features do not use need none. Forward
    of a copy is called, in float32, with a seed of its own. Exceptions are marked as the part's.

    Raises:
        PluginError: forward creates or replaces parameters, or the features depend on the
            encoding's trained parameters, and their gradient is zero.
    """
    check_created(model)
    other = copied(model)  # without wrappers, which are in the names of parameters
    counted = list(other.parameters())
    with all_seeded(0), torch.no_grad():
        other(x[:PROBE].clone().to(next(model.parameters(), x).device, torch.float32))
    check_created(other, counted)
    _check_gradients(model.encoding, x)


def check_created(model: nn.Module, counted: Collection[nn.Parameter] | None = None) -> None:
    """Refuse a network whose forward creates parameters, or replaces them by others.

    Args:
        counted: its parameters before forward was called. None: it was not called, and only
            parameters without a shape are refused, those of torch's lazy modules.

    Raises:
        PluginError: it does; marked as the part's error.
    """
    known = None if counted is None else {id(parameter) for parameter in counted}
    created = sorted(
        name
        for name, parameter in model.named_parameters()
        if is_lazy(parameter) or (known is not None and id(parameter) not in known)
    )
    if created:
        ours = created[0].startswith("encoding.")
        kind: Part = "encoding" if ours else "network"
        part = model.get_submodule("encoding") if ours else model
        names = bounded(", ".join(name.removeprefix("encoding.") for name in created), 200)
        message = (
            f"the {kind} {type(part).__name__} creates parameters in forward, {names}, after they "
            "were counted; create them in __init__"
        )
        raise marked(PluginError(message), kind)


def _check_gradients(encoding: nn.Module, x: Tensor) -> None:
    encoding = copied(encoding)
    trained = {name: p for name, p in encoding.named_parameters() if p.requires_grad}
    if not trained:
        return
    x = x.to(next(iter(trained.values())).device, torch.float32)
    generator, found = torch.Generator().manual_seed(0), []
    with all_seeded(0), in_encoding(), torch.enable_grad():
        # with other weights, too: a gradient may be zero at the start alone
        for other in (False, True):
            parameters = {
                name: p.detach() + random_like(p, generator) if other else p.detach()
                for name, p in trained.items()
            }
            inputs = [parameter.requires_grad_() for parameter in parameters.values()]
            features = called_with(encoding, parameters, x.clone())
            if not isinstance(features, Tensor):
                return  # the network says so
            if features.requires_grad:
                weights = random_like(features, generator)
                gradients = torch.autograd.grad(features, inputs, weights, allow_unused=True)
                if any(bool(dense(grad).any()) for grad in gradients if grad is not None):
                    return
            found.append(features.detach())
    if torch.equal(*found):
        return
    message = (
        f"the encoding {type(encoding).__name__} has "
        f"{plural(sum(p.numel() for p in trained.values()), 'trained parameter')}, on which its "
        "features depend with gradient zero: is there a detach(), no_grad() or round() in forward? "
        "Make it differentiable, or set requires_grad=False on parameters that are not to be "
        "trained"
    )
    raise marked(PluginError(message), "encoding")
