"""Activation regions: the sets of points at which the same ReLU units of a network are active."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn

from encbench.errors import NtkError
from encbench.ntk.model import working_copy
from encbench.ntk.terms import chunks

CHUNK = 4096


@dataclass(frozen=True, eq=False)
class Regions:
    """Activation regions of a network that hold one of N points.

    Two points are in one region if every ReLU unit is active at both or at neither. Behind an
    encoding that is not affine, a region can consist of several parts.

    Source: Hanin, Rolnick, "Deep ReLU Networks Have Surprisingly Few Activation Patterns",
    NeurIPS 2019.
    """

    labels: np.ndarray
    """(N,) int64: number of the region of each point, counted from 0 as they first occur."""
    count: int
    """Exact number of distinct activation patterns at the points; regions that hold no point are
    not counted."""
    ever_on: dict[str, np.ndarray]
    """ReLU module to which of its units are on at a point, (units,) bool. A module that is called
    twice has the units of both calls."""

    @property
    def units(self) -> int:
        """Number of ReLU units."""
        return sum(len(on) for on in self.ever_on.values())


@torch.inference_mode(False)
def activation_regions(
    model: nn.Module, x: Tensor, *, device: torch.device | str | None = None
) -> Regions:
    """The activation regions of a model at x (N, d), from the signs of pre-activations in float64.

    Memory: 16 bytes a point, and about 300 bytes + a bit per unit for each region.

    Raises:
        NtkError: the model calls no ReLU module, so that it has no activation regions; or as
            ``empirical_ntk``.
    """
    private, points, _ = working_copy(model, x, torch.float64, device)
    found = regions_at(private, points)
    if found is None:
        activation = getattr(model, "activation", None)
        raise NtkError(
            "activation regions are those of ReLU units, and the network has none"
            + ("" if activation is None else f" (its activation is {str(activation)!r})")
        )
    return found


def regions_at(model: nn.Module, x: Tensor) -> Regions | None:
    """The same of a ``working_copy`` at its points; None where no ReLU module is called."""
    # a dict compares whole patterns where their hashes agree, so that the count is exact
    numbers: dict[bytes, int] = {}
    labels = np.empty(len(x), dtype=np.int64)
    ever_on: dict[str, np.ndarray] = {}
    done = 0
    for strip in _patterns(model, x):
        if not strip:
            return None
        for name, on in strip.items():
            ever_on.setdefault(name, np.zeros(on.shape[1], dtype=bool))
            ever_on[name] |= on.any(axis=0)
        packed = np.packbits(np.concatenate(list(strip.values()), axis=1), axis=1)
        for row in packed:
            labels[done] = numbers.setdefault(row.tobytes(), len(numbers))
            done += 1
    return Regions(labels, len(numbers), ever_on)


def _patterns(model: nn.Module, x: Tensor) -> Iterator[dict[str, np.ndarray]]:
    """For successive points, each ReLU module that is called to which of its units are on,
    (n, units) bool."""
    names: dict[nn.Module, str] = {
        module: name for name, module in model.named_modules() if type(module) is nn.ReLU
    }
    calls: dict[str, list[np.ndarray]] = {name: [] for name in names.values()}

    def record(module: nn.Module, args: tuple[Tensor, ...], out: Tensor) -> None:
        calls[names[module]].append((out.detach().flatten(1) > 0).cpu().numpy())

    handles = [module.register_forward_hook(record) for module in names]
    try:
        for part in chunks(len(x), CHUNK):
            with torch.no_grad():
                model(x[part])
            yield {name: np.concatenate(on, axis=1) for name, on in calls.items() if on}
            for on in calls.values():
                on.clear()
    finally:
        for handle in handles:
            handle.remove()
