"""What encodings, networks and activations are all checked for: they are torch modules."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from encbench.errors import EncbenchError
from encbench.ntk.kernel import brute_force_ntk, empirical_ntk
from encbench.testing.conformance import call_in_worker, fail, require, require_equal

SEED = 20


def inner_points(
    count: int, in_dim: int, dtype: torch.dtype = torch.float64, seed: int = SEED
) -> Tensor:
    """(count, in_dim), random in (0, 1), and exact in float32 as well."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, in_dim, generator=generator).clamp(1e-3, 1 - 1e-3).to(dtype)


@contextmanager
def no_random_numbers(message: str) -> Iterator[None]:
    """Fail if what is done inside draws from torch's global generator."""
    before = torch.get_rng_state()
    yield
    require(torch.equal(before, torch.get_rng_state()), message)


def require_gradients(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    where: str = "",
    advice: str = "",
    **options: Any,
) -> None:
    """Fail unless autograd agrees with finite differences; ``options`` are gradcheck's."""
    try:
        torch.autograd.gradcheck(function, inputs, **options)
    except Exception as error:
        fail(f"gradcheck{where}: {' '.join(str(error).split())[:300]}{advice}")


def require_kernel(model: nn.Module, x: Tensor, where: str = "", advice: str = "") -> None:
    """Fail unless each part of the model's kernel is J Jᵀ."""
    try:
        parts = empirical_ntk(model, x, outputs="full").parts
    except EncbenchError as error:
        fail(f"the kernel{where}: {error}")
    for part, expected in brute_force_ntk(model, x).items():
        message = f"the kernel's part {part!r}{where} is not J Jᵀ{advice}"
        require_equal(parts[part], expected, 1e-9, message)


def require_same_in_worker(module: nn.Module, x: Tensor, here: Tensor, message: str) -> None:
    """Fail unless the module can be pickled, and gives the same for x in another process."""
    there = call_in_worker(_values, module, x.numpy())
    same = np.allclose(there, here.detach().numpy(), rtol=1e-12, atol=1e-12)
    require(bool(same), message)


def _values(module: nn.Module, x: np.ndarray) -> np.ndarray:
    with torch.no_grad():
        values: np.ndarray = module(torch.from_numpy(x)).numpy()
    return values


def require_no_stray_tensors(module: nn.Module, advice: str) -> None:
    """Fail if attributes are tensors and neither parameters nor buffers."""
    stray = [
        f"{prefix}.{name}".lstrip(".")
        for prefix, each in module.named_modules()
        for name, value in vars(each).items()
        if _holds_tensor(value) and name not in ("_parameters", "_buffers", "_modules")
    ]
    require(not stray, f"plain tensors among the attributes: {', '.join(stray)}; {advice}")


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, Mapping):
        value = list(value.values())
    items = itertools.islice(value, 64) if isinstance(value, list | tuple) else [value]
    return any(isinstance(item, Tensor) for item in items)
