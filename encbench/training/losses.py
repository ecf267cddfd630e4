"""Named losses, and checks of a task's own loss.

Every named loss is the mean over n points and O outputs of a function of an output p and the
true value y; d = p − y.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encbench.contracts.task import LossName
from encbench.errors import PluginError

HUBER_DELTA = 0.1
RELATIVE_L2_EPSILON = 0.01
MAPE_EPSILON = 0.01
IN_LOSS = "raised by the task's loss"
"""Note added to an exception, so that a record names the plug-in that failed."""


def mse_loss(p: Tensor, y: Tensor) -> Tensor:
    """Squared error: d²."""
    return F.mse_loss(p, y)


def bce_loss(p: Tensor, y: Tensor) -> Tensor:
    """Binary cross entropy from a logit: −y log σ(p) − (1 − y) log(1 − σ(p)), y in [0, 1]."""
    return F.binary_cross_entropy_with_logits(p, y)


def l1_loss(p: Tensor, y: Tensor) -> Tensor:
    """Absolute error: |d|, its derivative 0 at d = 0."""
    return F.l1_loss(p, y)


def huber_loss(p: Tensor, y: Tensor) -> Tensor:
    """d²/2 if |d| ≤ δ, else δ (|d| − δ/2); δ = 0.1.

    Values are usually in [0, 1], where torch's default of δ = 1 gives half the squared error.

    Source: Huber, "Robust Estimation of a Location Parameter", 1964; δ as in instant-ngp's
    training of radiance fields, which also divides the loss by a constant.
    """
    return F.huber_loss(p, y, delta=HUBER_DELTA)


def relative_l2_loss(p: Tensor, y: Tensor) -> Tensor:
    """d² / (p² + ε) with ε = 0.01; the denominator counts as constant in the gradient.

    Source: Lehtinen et al., "Noise2Noise", ICML 2018; as in tiny-cuda-nn, losses/relative_l2.h.
    """
    return ((p - y).square() / (p.detach().square() + RELATIVE_L2_EPSILON)).mean()


def mape_loss(p: Tensor, y: Tensor) -> Tensor:
    """|d| / (|y| + ε) with ε = 0.01: errors of small distances |y| have more weight.

    Source: tiny-cuda-nn, losses/mape.h; instant-ngp's loss for signed distances.
    """
    return ((p - y).abs() / (y.abs() + MAPE_EPSILON)).mean()


LOSSES: dict[LossName, Callable[[Tensor, Tensor], Tensor]] = {
    "mse": mse_loss,
    "bce": bce_loss,
    "l1": l1_loss,
    "huber": huber_loss,
    "relative_l2": relative_l2_loss,
    "mape": mape_loss,
}


def value_and_gradient(loss: LossName, out: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """A named loss, and its gradient (n, O) with respect to the outputs, which may overwrite them.

    Call it under ``torch.no_grad``; ``LOSSES`` is the reference for the explicit gradients.
    """
    if loss == "mse":
        difference = out.sub_(y).view(-1)
        value = torch.dot(difference, difference).div_(len(difference))
        difference.mul_(2 / len(difference))
        return value, out
    if loss == "bce":
        value = bce_loss(out, y)
        return value, out.sigmoid_().sub_(y).div_(out.numel())
    with torch.enable_grad():
        leaf = out.detach().requires_grad_()
        value = LOSSES[loss](leaf, y)
    return value.detach(), torch.autograd.grad(value, leaf)[0]


OWN_LOSS = "the task has a loss of its own"


class OwnLoss:
    """A task's own loss, with checks of its result.

    Args:
        method: ``Task.loss``, from the model, x (n, d) and y (n, O) to a scalar tensor.
    """

    def __init__(self, method: Callable[..., Any]) -> None:
        self.method = method
        self._checked = False

    def __call__(self, model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """Compute the loss.

        Raises:
            PluginError: it is not a scalar of a floating type that depends on the model, or, in
                the first call, it or its gradient is not finite although the model's output is.
        """
        with _in_loss():
            loss = self.method(model, x, y)
            _check(loss)
        if not self._checked:
            self._checked = True
            with _in_loss():
                _check_first(loss, model, x)
        return loss  # type: ignore[no-any-return] # checked to be a tensor


@contextmanager
def _in_loss() -> Iterator[None]:
    """Add the note ``IN_LOSS`` to exceptions raised inside the context."""
    try:
        yield
    except BaseException as error:
        error.add_note(IN_LOSS)
        raise


def _check(loss: Any) -> None:
    if not isinstance(loss, Tensor) or loss.ndim or not loss.is_floating_point():
        got = (
            f"a tensor {tuple(loss.shape)} of {loss.dtype}"
            if isinstance(loss, Tensor)
            else f"a {type(loss).__name__}"
        )
        raise PluginError(f"loss returned {got}, expected a scalar tensor of a floating type")
    if not loss.requires_grad:
        raise PluginError(
            "loss has no gradient; compute it from model(x) without detach() or torch.no_grad()"
        )


def _check_first(loss: Tensor, model: nn.Module, x: Tensor) -> None:
    parameters = [parameter for parameter in model.parameters() if parameter.requires_grad]
    gradients = torch.autograd.grad(loss, parameters, retain_graph=True, allow_unused=True)
    reached = [gradient for gradient in gradients if gradient is not None]
    if parameters and not reached:
        raise PluginError(
            "no gradient of loss reaches the network's parameters; compute it from model(x) "
            "without detach() or torch.no_grad()"
        )
    finite = all(bool(torch.isfinite(each.to_dense()).all()) for each in (loss, *reached))
    with torch.no_grad():
        if not finite and bool(torch.isfinite(model(x)).all()):
            what = "its gradient" if bool(torch.isfinite(loss)) else f"{loss.item():g}"
            raise PluginError(
                f"loss is not finite before the first step ({what}) although the network's "
                "output is"
            )
