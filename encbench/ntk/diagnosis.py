"""Why a kernel is rank-deficient: duplicate points, dead units, activation regions."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from encbench.contracts.encoding import Encoding
from encbench.network.mlp import CoordinateMLP, NTKLinear
from encbench.ntk.model import working_copy

__all__ = ["Diagnosis", "diagnose"]

CHUNK = 4096
AFFINE = (nn.Linear, NTKLinear, nn.ReLU, nn.Sequential)


@dataclass(frozen=True)
class Diagnosis:
    """Counts at N points, for a network whose nonlinearities are ReLU modules."""

    points: int
    duplicates: int
    """Points that equal an earlier one; each costs the kernel one rank (O of the full one)."""
    regions: int | None
    """Activation regions that hold a point; None where there is no ReLU module.

    Source: Hanin, Rolnick, "Deep ReLU Networks Have Surprisingly Few Activation Patterns",
    NeurIPS 2019."""
    largest_region: int | None
    """Points in the fullest region."""
    rank_bound: int | None
    """Σ over regions of min(distinct points, d + 1), which bounds the trace kernel's rank, and O
    times which the full one's. Inside a region of a ReLU network on plain coordinates the
    Jacobian is affine in x. None where the features are not the coordinates themselves."""
    dead_units: dict[str, int] = field(default_factory=dict)
    """ReLU module to the number of its units that are 0 at every point, where there are any."""
    dead_layers: tuple[str, ...] = ()
    """ReLU modules all of whose units are 0 at every point: nothing before them learns."""


def diagnose(model: nn.Module, x: Tensor, *, device: torch.device | str | None = None) -> Diagnosis:
    """Look at a model's activation pattern at x (N, d), in float64, without its kernel.

    Raises:
        NtkError: as ``empirical_ntk``.
    """
    private, points, _ = working_copy(model, x, torch.float64, device)
    names = [name for name, module in private.named_modules() if type(module) is nn.ReLU]
    distinct = int(torch.unique(points, dim=0).shape[0])
    duplicates = len(points) - distinct
    if not names:
        return Diagnosis(len(points), duplicates, None, None, None)
    pattern, plain = _patterns(private, names, points)
    dead = {name: int((~on.any(0)).sum()) for name, on in pattern.items()}
    _, region = torch.unique(
        _packed(torch.cat(list(pattern.values()), 1)), dim=0, return_inverse=True
    )
    sizes = torch.bincount(region)
    bound = None
    if plain and _piecewise_affine(private):
        pairs = torch.cat([region[:, None].to(points.dtype), points], 1)
        kept = torch.unique(pairs, dim=0)[:, 0].long()
        bound = int(torch.bincount(kept).clamp(max=points.shape[1] + 1).sum())
    return Diagnosis(
        points=len(points),
        duplicates=duplicates,
        regions=len(sizes),
        largest_region=int(sizes.max()),
        rank_bound=bound,
        dead_units={name: count for name, count in dead.items() if count},
        dead_layers=tuple(name for name in names if dead[name] == pattern[name].shape[1]),
    )


def _patterns(model: nn.Module, names: list[str], x: Tensor) -> tuple[dict[str, Tensor], bool]:
    """Which units are on at each point, (N, units) a ReLU; whether features are coordinates."""
    found: dict[str, list[Tensor]] = {name: [] for name in names}
    handles = []
    for name in names:

        def listen(
            module: nn.Module, args: tuple[Tensor, ...], out: Tensor, name: str = name
        ) -> None:
            found[name].append(out.detach().flatten(1) > 0)

        handles.append(model.get_submodule(name).register_forward_hook(listen))
    encoding = getattr(model, "encoding", None)
    plain = True
    try:
        with torch.no_grad():
            for start in range(0, len(x), CHUNK):
                part = x[start : start + CHUNK]
                model(part)
                if isinstance(encoding, Encoding):
                    plain = plain and torch.equal(encoding(part), part)
    finally:
        for handle in handles:
            handle.remove()
    return {name: torch.cat(parts) for name, parts in found.items()}, plain


def _piecewise_affine(model: nn.Module) -> bool:
    """Whether the network behind the encoding is made of linear layers and ReLU alone."""
    if isinstance(model, CoordinateMLP):
        modules = list(model.layers.modules())
    else:
        modules = list(model.modules())  # of any other class, forward could do anything
    return all(type(module) in AFFINE for module in modules)


def _packed(on: Tensor) -> Tensor:
    """Boolean rows (N, units) as int64 words (N, ⌈units / 62⌉), 62 units a word."""
    words = []
    for start in range(0, on.shape[1], 62):
        bits = on[:, start : start + 62].long()
        powers = 2 ** torch.arange(bits.shape[1], device=on.device)
        words.append((bits * powers).sum(1))
    return torch.stack(words, 1)
