"""Whether training can change the parameters of an encoding."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from encbench.contracts.encoding import marked
from encbench.contracts.network import in_encoding
from encbench.errors import PluginError, plural
from encbench.ntk.autograd import called_with, dense, random_like
from encbench.ntk.model import copied
from encbench.suite.seeding import all_seeded


def check_gradients(encoding: nn.Module, x: Tensor) -> None:
    """Refuse an encoding whose parameters would be counted but never trained.

    Only some of its trained parameters need a gradient at the points x (N, d), with the weights
    that it has or with others; parameters that its features do not use need none. Forward of a
    copy is called, in float32, with a seed of its own. Exceptions are marked as the encoding's.

    Raises:
        PluginError: the features depend on the trained parameters, and their gradient is zero.
    """
    trained = {name: p for name, p in encoding.named_parameters() if p.requires_grad}
    if not trained:
        return
    encoding = copied(encoding)
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
