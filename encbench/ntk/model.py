"""Check and copy the model whose kernel is computed."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.parameter import is_lazy

from encbench.contracts.encoding import Encoding, Part, marked
from encbench.errors import NtkError, ParameterError

PROBE = 8  # number of points at which the output is checked


def working_copy(
    model: nn.Module, x: Tensor, dtype: torch.dtype, device: torch.device | str | None
) -> tuple[nn.Module, Tensor, set[str]]:
    """A copy of the model in eval mode, a copy of x, and the names of the trainable parameters.

    Both copies are in ``dtype`` on ``device`` (None: the model's own). The caller's model is not
    changed. All parameters of the copy have requires_grad False. Wrappers that do not change the
    result (torch.compile, data parallelism) are removed from the copy.

    Raises:
        NtkError: x is not an (N, d) array of finite coordinates in the domain, or the model
            cannot have a kernel (batch statistics, no trainable parameter, several devices).
        ParameterError: dtype is neither float64 nor float32, or there is no such device.
    """
    if dtype not in (torch.float64, torch.float32):
        raise ParameterError(f"dtype must be torch.float64 or torch.float32, got {dtype}")
    target = _resolve_device(model, device)
    _check_model(model)
    private = copied(model).eval()
    _check_points(private, x)
    trainable = {name for name, p in private.named_parameters() if p.requires_grad}
    if not trainable:
        raise NtkError(
            "the model has no trainable parameter, so its kernel is zero; "
            "set requires_grad on the parameters that are to be trained"
        )
    for name, parameter in private.named_parameters():
        if not parameter.is_leaf:
            raise NtkError(
                f"{name!r} of the model's copy is not a leaf of autograd; instead of a TorchScript "
                "module, pass the module that was scripted"
            )
        parameter.requires_grad_(False)
        parameter.grad = None
    # Cast the caller's coordinates once: an intermediate float32 would change the kernel.
    points = x.detach().clone().to(device=target, dtype=dtype)
    private = cast(private.to(target), dtype)
    _check_references(model, private, points[:PROBE])
    return private, points, trainable


def copied(model: nn.Module) -> nn.Module:
    """A deep copy of a model without wrappers that do not change its result.

    Raises:
        NtkError: it cannot be copied.
    """
    memo: dict[int, Any] = {}
    for module in reversed(list(model.modules())):
        for value in vars(module).values():
            # Hooks of weight_norm and prune recompute such tensors in each call.
            if isinstance(value, Tensor) and not value.is_leaf:
                memo[id(value)] = value.detach().clone()
        wrapped = getattr(module, "_orig_mod", None)  # of torch.compile
        if isinstance(module, nn.DataParallel | nn.parallel.DistributedDataParallel):
            wrapped = module.module
        if wrapped is not None:
            memo[id(module)] = copy.deepcopy(wrapped, memo)
    try:
        return copy.deepcopy(model, memo)
    except (TypeError, RuntimeError) as error:
        raise NtkError(
            f"the model cannot be copied: {error}; keep what copy.deepcopy refuses out of its "
            "attributes"
        ) from error


def cast(model: nn.Module, dtype: torch.dtype) -> nn.Module:
    """Cast the model in place to ``dtype``, its complex tensors to that of the same precision."""
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.is_complex():
            tensor.data = tensor.data.to(dtype.to_complex())
        elif tensor.is_floating_point():
            tensor.data = tensor.data.to(dtype)
    return model


def encoding_of(model: nn.Module) -> Encoding | None:
    """``model.encoding`` if it is an ``Encoding``, else None."""
    encoding = getattr(model, "encoding", None)
    return encoding if isinstance(encoding, Encoding) else None


def _check_model(model: nn.Module) -> None:
    for name, parameter in model.named_parameters():
        if is_lazy(parameter):
            raise NtkError(f"{name!r} has no shape yet; call the model once before its kernel")
        if parameter._backward_hooks:
            raise NtkError(
                f"a hook changes the gradient of {name!r}, but the kernel is defined without it; "
                "move what the hook does into forward"
            )
    for name, module in model.named_modules():
        if isinstance(module, nn.modules.batchnorm._BatchNorm):
            raise NtkError(
                f"{type(module).__name__} at {name!r} mixes the points of a batch, and the kernel "
                "needs f(x) to depend on x alone; use LayerNorm or leave normalization out"
            )


def _check_references(model: nn.Module, private: nn.Module, x: Tensor) -> None:
    """Refuse a frozen copy whose forward still uses parameters of the original model."""
    used: set[int] = set()
    with torch.enable_grad(), suppress(Exception):  # errors in forward are reported later
        used = {id(leaf) for leaf in _leaves(private(x))}
    for name, parameter in model.named_parameters():
        if id(parameter) in used:
            raise NtkError(
                f"forward uses {name!r} through a reference that copy.deepcopy does not follow "
                "(such as a closure's); let it use the parameter through self"
            )


def _leaves(f: Tensor) -> Iterator[Tensor]:
    """The leaf tensors that require gradients and from which f is computed."""
    nodes = [] if f.grad_fn is None else [f.grad_fn]
    seen = set(nodes)
    for node in nodes:
        if hasattr(node, "variable"):
            yield node.variable
        new = {before for before, _ in node.next_functions if before is not None} - seen
        seen |= new
        nodes += new


def _check_points(model: nn.Module, x: Tensor) -> None:
    if not isinstance(x, Tensor) or x.ndim != 2 or not x.is_floating_point():
        got = f"{x.dtype} of shape {tuple(x.shape)}" if isinstance(x, Tensor) else type(x).__name__
        raise NtkError(f"x must be a floating point tensor of shape (N, d), got {got}")
    if len(x) == 0:
        raise NtkError("x holds no points (N = 0); a kernel needs at least one")
    encoding = encoding_of(model)
    dim = getattr(model if encoding is None else encoding, "in_dim", None)
    if isinstance(dim, int) and x.shape[1] != dim:
        raise NtkError(f"the model takes {dim} coordinates, got x of shape {tuple(x.shape)}")
    if not bool(torch.isfinite(x).all()):
        bad = int((~torch.isfinite(x)).any(1).sum())
        raise NtkError(f"x must be finite, got NaN or infinity in {bad} of {len(x)} points")
    if encoding is not None and bool(((x < 0) | (x > 1)).any()):
        low, high = float(x.min()), float(x.max())
        raise NtkError(
            f"encodings are defined on [0, 1], got coordinates from {low:g} to {high:g}; "
            "scale x to the unit cube"
        )


def _resolve_device(model: nn.Module, device: torch.device | str | None) -> torch.device:
    if device is None:
        devices = {p.device for p in model.parameters()}
        if len(devices) > 1:
            raise NtkError(
                f"the model is on several devices ({', '.join(sorted(map(str, devices)))}); "
                "pass device= to gather its copy on one"
            )
        return devices.pop() if devices else torch.device("cpu")
    try:
        target = torch.device(device)
        torch.empty(0, device=target)
    except (RuntimeError, AssertionError) as error:  # torch built without CUDA asserts
        raise ParameterError(f"device {str(device)!r} cannot be used here: {error}") from error
    return target


def check_output(model: nn.Module, x: Tensor) -> int:
    """The number of outputs O at points x (n, d).

    Raises:
        NtkError: the model does not map x to finite real (n, O), each row independently.
    """
    with torch.no_grad():
        given = x.clone()
        try:
            f = model(x)
        except RuntimeError as error:
            if "dtype" not in str(error):
                raise
            raise NtkError(
                f"the model fails in {x.dtype}: {error}; let its forward take its dtype from its "
                "input or its parameters, or pass dtype=torch.float32"
            ) from error
        if not torch.equal(x, given):
            raise _changes_input(model, given)
        if not isinstance(f, Tensor) or f.ndim != 2 or len(f) != len(x):
            got = tuple(f.shape) if isinstance(f, Tensor) else type(f).__name__
            raise NtkError(f"the model must map (N, d) to (N, O), got {got} for N = {len(x)}")
        if f.is_complex():
            raise NtkError(
                f"the model's output is {f.dtype}, and the kernel is that of real outputs; return "
                "its real part, or torch.view_as_real(f).flatten(1)"
            )
        check_finite(f, model, x)
        alone = torch.cat([model(row[None]) for row in x])
    # seven layers of sin(20 z) amplify rounding to 1e-10; mixing points changes far more
    eps = torch.finfo(f.dtype).eps
    limit = max(1e4 * eps, math.sqrt(eps)) * float(f.abs().max() + 1)
    if float((alone - f).abs().max()) > limit:
        with torch.no_grad():
            repeats = float((model(x) - f).abs().max()) <= limit
        kind, part = _changing(model, x, together=not repeats)
        where = f" in the {kind} {part}" if part else ""
        message = (
            f"f(x) changes with the other points of the batch{where}, and the kernel needs f(x) to "
            "depend on x alone; remove what mixes the points"
            if repeats
            else f"f(x) changes from call to call{where}: two calls with the same points differ, "
            "and the kernel needs f(x) to depend on x alone; let forward draw no random numbers "
            "and keep nothing from earlier calls"
        )
        raise marked(NtkError(message), kind)
    return f.shape[1]


def _changing(model: nn.Module, x: Tensor, *, together: bool) -> tuple[Part, str]:
    """The part whose output changes, and its class; no class without an encoding.

    Args:
        together: whether the points are compared with a second call, not with calls of one each.
    """
    encoding = encoding_of(model)
    if encoding is None:
        return "network", ""
    with torch.no_grad():
        features = encoding(x)
        parts = [encoding(x)] if together else [encoding(row[None]) for row in x]
        if float((torch.cat(parts) - features).abs().max()) > 1e-5:
            return "encoding", type(encoding).__name__
    return "network", type(model).__name__


def _changes_input(model: nn.Module, x: Tensor) -> Exception:
    """The error of a model that changes points such as x in place."""
    kind: Part
    kind, part, encoding = "network", model, encoding_of(model)
    if encoding is not None:
        given = x.clone()
        with torch.no_grad():
            encoding(given)
        if not torch.equal(given, x):
            kind, part = "encoding", encoding
    message = (
        f"the {kind} {type(part).__name__} changes its input in place; let forward compute new "
        "tensors, such as x * 2 instead of x.mul_(2)"
    )
    return marked(NtkError(message), kind)


def check_finite(f: Tensor, model: nn.Module, x: Tensor) -> None:
    """Raise NtkError if a model's output f (n, O) at x (n, d) contains NaN or infinity."""
    if bool(torch.isfinite(f).all()):
        return
    for name, parameter in model.named_parameters():
        if not bool(torch.isfinite(parameter).all()):
            raise NtkError(
                f"the parameter {name} of {type(model).__name__} is NaN or infinite: it was so "
                "from the start, or training has diverged"
            )
    kind: Part
    kind, part, values, encoding = "network", model, f, encoding_of(model)
    if encoding is not None:
        with torch.no_grad():
            features = encoding(x)
        if not bool(torch.isfinite(features).all()):
            kind, part, values = "encoding", encoding, features
    where = x[~torch.isfinite(values).all(1)][0].tolist()
    message = (
        f"the {kind} {type(part).__name__} gives NaN or infinity at x = {where}, although its "
        "weights are finite; it must be finite on all of [0, 1], borders included"
    )
    raise marked(NtkError(message), kind)
