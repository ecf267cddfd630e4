"""Why a kernel is rank-deficient: duplicate points, dead units, few activation regions."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from encbench.network.linear import NTKLinear
from encbench.network.mlp import CoordinateMLP
from encbench.ntk.model import encoding_of, working_copy
from encbench.ntk.regions import CHUNK, regions_at
from encbench.ntk.terms import chunks

AFFINE = (nn.Linear, NTKLinear, nn.ReLU, nn.Sequential)


@dataclass(frozen=True)
class Diagnosis:
    """Counts at N points, for a network whose nonlinearities are ReLU modules."""

    points: int
    duplicates: int
    """Points equal to an earlier one; each lowers the rank by one (by O for the full kernel)."""
    regions: int | None
    """Activation regions that contain a point, see ``activation_regions``; None where no ReLU
    module is called."""
    largest_region: int | None
    """Points in the region with most points."""
    rank_bound: int | None
    """Σ over regions of min(distinct points, d + 1): an upper bound of the trace kernel's rank;
    O times it bounds the full kernel's. It holds because within a region the Jacobian of a ReLU
    network on plain coordinates is affine in x. None where the features are not the coordinates,
    or there are other nonlinearities."""
    dead_units: dict[str, int] = field(default_factory=dict)
    """ReLU module to the number of its units that are 0 at every point, if there are any. A module
    that is called twice has the units of both calls."""
    dead_layers: tuple[str, ...] = ()
    """ReLU modules all of whose units are 0 at every point: layers before them do not learn."""


@torch.inference_mode(False)
def diagnose(model: nn.Module, x: Tensor, *, device: torch.device | str | None = None) -> Diagnosis:
    """Counts from a model's activation pattern at x (N, d), in float64, without its kernel.

    Raises:
        NtkError: as ``empirical_ntk``.
    """
    private, points, _ = working_copy(model, x, torch.float64, device)
    distinct = int(torch.unique(points, dim=0).shape[0])
    duplicates = len(points) - distinct
    found = regions_at(private, points)
    if found is None:
        return Diagnosis(len(points), duplicates, None, None, None)
    dead = {name: int((~on).sum()) for name, on in found.ever_on.items()}
    bound = None
    if _plain(private, points) and _piecewise_affine(private):
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


def _plain(model: nn.Module, x: Tensor) -> bool:
    """Whether the features are the coordinates themselves."""
    encoding = encoding_of(model)
    with torch.no_grad():
        return encoding is None or all(
            torch.equal(encoding(x[part]), x[part]) for part in chunks(len(x), CHUNK)
        )


def _piecewise_affine(model: nn.Module) -> bool:
    """Whether the network behind the encoding is made of linear layers and ReLU alone."""
    if isinstance(model, CoordinateMLP):
        modules = list(model.layers.modules())
    else:
        modules = list(model.modules())  # in any other class, forward could do anything
    return all(type(module) in AFFINE for module in modules)
