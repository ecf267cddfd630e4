"""Why a kernel is rank-deficient: duplicate points, dead units, few activation regions."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from encbench.errors import NtkError
from encbench.network.linear import NTKLinear
from encbench.network.mlp import CoordinateMLP
from encbench.ntk.model import encoding_of, working_copy
from encbench.ntk.terms import chunks

AFFINE = (nn.Linear, NTKLinear, nn.ReLU, nn.Sequential)
CHUNK = 4096


@dataclass(frozen=True)
class Diagnosis:
    """Counts at N points, for a network with ReLU modules."""

    points: int
    duplicates: int
    """Points equal to an earlier one; each lowers the rank by one (by O for the full kernel)."""
    regions: int | None
    """Number of activation regions that contain a point, see ``activation_regions``; None if the
    model calls no ReLU module."""
    largest_region: int | None
    """Maximum number of points in one region."""
    rank_bound: int | None
    """Σ over regions of min(distinct points, d + 1): an upper bound of the trace kernel's rank;
    O times it bounds the full kernel's. It holds because within a region the Jacobian of a ReLU
    network on plain coordinates is affine in x. None if the features are not the coordinates, or
    there are other nonlinearities."""
    dead_units: dict[str, int] = field(default_factory=dict)
    """Number of units that are 0 at every point, for each ReLU module that has such units. A
    module that is called twice has the units of both calls."""
    dead_layers: tuple[str, ...] = ()
    """ReLU modules all of whose units are 0 at every point: layers before them do not learn."""


@torch.inference_mode(False)
def diagnose(model: nn.Module, x: Tensor, *, device: torch.device | str | None = None) -> Diagnosis:
    """Count duplicates, activation regions and dead units at x (N, d) in float64, without a kernel.

    Raises:
        NtkError: as ``empirical_ntk``.
    """
    private, points, trained = working_copy(model, x, torch.float64, device)
    distinct = int(torch.unique(points, dim=0).shape[0])
    duplicates = len(points) - distinct
    found = regions_at(private, points)
    if found is None:
        return Diagnosis(len(points), duplicates, None, None, None)
    dead = {name: int((~on).sum()) for name, on in found.ever_on.items()}
    bound = None
    if _plain(private, points, trained) and _piecewise_affine(private):
        region = torch.from_numpy(found.labels).view(-1, 1).to(points)
        pairs = torch.cat([region, points], 1)
        kept = torch.unique(pairs, dim=0)[:, 0].long()
        bound = int(torch.bincount(kept).clamp(max=points.shape[1] + 1).sum())
    return Diagnosis(
        points=len(points),
        duplicates=duplicates,
        regions=found.count,
        largest_region=int(np.bincount(found.labels).max()),
        rank_bound=bound,
        dead_units={name: count for name, count in dead.items() if count},
        dead_layers=tuple(name for name, on in found.ever_on.items() if not on.any()),
    )


def _plain(model: nn.Module, x: Tensor, trained: Collection[str]) -> bool:
    """Whether the features are the coordinates themselves, whatever the values of ``trained``."""
    encoding = encoding_of(model)
    if encoding is None:
        return True
    own = {id(parameter) for parameter in encoding.parameters()}
    if any(id(p) in own for name, p in model.named_parameters() if name in trained):
        return False
    with torch.no_grad():
        return all(torch.equal(encoding(x[part]), x[part]) for part in chunks(len(x), CHUNK))


def _piecewise_affine(model: nn.Module) -> bool:
    """Whether the network behind the encoding consists of linear layers and ReLU only."""
    # in any other class, also one derived from CoordinateMLP, forward could do anything
    layers = model.layers if type(model) is CoordinateMLP else model
    modules = list(layers.modules())
    return all(type(module) in AFFINE for module in modules)


@dataclass(frozen=True, eq=False)
class Regions:
    """The activation regions of a network that contain at least one of N points.

    Two points are in one region if every ReLU unit is active at both or at neither. With an
    encoding that is not affine, a region can be disconnected.

    Source: Hanin, Rolnick, "Deep ReLU Networks Have Surprisingly Few Activation Patterns",
    NeurIPS 2019.
    """

    labels: np.ndarray
    """(N,) int64: the region of each point, numbered from 0 in order of first occurrence."""
    count: int
    """Exact number of distinct activation patterns at the points; regions without a point are
    not counted."""
    ever_on: dict[str, np.ndarray]
    """For each ReLU module, whether each unit is active at any point, (units,) bool. A module that
    is called twice has the units of both calls."""

    @property
    def units(self) -> int:
        """Number of ReLU units."""
        return sum(len(on) for on in self.ever_on.values())


@torch.inference_mode(False)
def activation_regions(
    model: nn.Module, x: Tensor, *, device: torch.device | str | None = None
) -> Regions:
    """The activation regions of a model at x (N, d), from the signs of pre-activations in float64.

    Memory: 16 bytes per point; per region about 300 bytes and one bit per unit.

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
    """The regions of a ``working_copy`` at x; None if it calls no ReLU module."""
    # a dict compares whole patterns if their hashes agree, so the count is exact
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
    """Yield which units are active, (n, units) bool per called ReLU module, chunk by chunk."""
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
