"""Base class of learned linear maps of fixed features, in the network's parameterization."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from encbench_encodings._constants import ConstantsKept


class LinearMaps(ConstantsKept):
    """Several linear maps W_b φ + b_b of features φ that are not learned.

    In NTK parameterization the parameters are W_b/s and the features s φ, so that the maps learn
    at the same rate as the network's layers; the result is the same in both parameterizations.

    Args:
        maps: the layers, with their initial weights.
        scale: s, the magnitude of an initial weight.
    """

    def __init__(self, in_dim: int, out_dim: int, maps: Sequence[nn.Linear], scale: float) -> None:
        super().__init__(in_dim, out_dim)
        self.maps = nn.ModuleList(maps)
        self._ntk_scale = scale
        self._scale = 1.0

    def parameterize(self, parameterization: Literal["ntk", "standard"]) -> None:
        scale = self._ntk_scale if parameterization == "ntk" else 1.0
        with torch.no_grad():
            for name, parameter in self.maps.named_parameters():
                if name.endswith("weight"):
                    parameter.mul_(self._scale / scale)
        self._scale = scale

    def mapped(self, features: Tensor) -> list[Tensor]:  # (N, E) -> each (N, m)
        scaled = features * self._scale
        return [layer(scaled) for layer in self.maps]
