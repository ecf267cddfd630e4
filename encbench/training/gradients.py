"""Whether training can change the parameters of a network and of its encoding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

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
        PluginError: forward creates parameters, or the features depend on the encoding's trained
            parameters, and their gradient is zero.
    """
    _check_created(model, x)
    _check_gradients(model.encoding, x)


def _check_created(model: Network, x: Tensor) -> None:
    other = copied(model)  # without wrappers, which are in the names of parameters
    before = {name for name, _ in other.named_parameters()}
    with all_seeded(0), torch.no_grad():
        other(x[:PROBE].clone().to(next(model.parameters(), x).device, torch.float32))
    created = sorted({name for name, _ in other.named_parameters()} - before)
    if created:
        ours = created[0].startswith("encoding.")
        kind: Part = "encoding" if ours else "network"
        part = model.encoding if ours else model
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
