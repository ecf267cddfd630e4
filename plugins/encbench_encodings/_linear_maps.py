"""Learned linear maps of fixed features: their parameters follow the network's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
from torch import Tensor, nn

from encbench_encodings._constants import ConstantsKept


class LinearMaps(ConstantsKept):
    """W_b φ + b_b of features φ that are not learned, for each of several maps b.

    In NTK parameterization the parameters are W_b/s and the features s φ, so that the maps learn
    at a pace with the network's layers; what is computed is the same either way.

    Args:
        maps: the layers, with their initial weights.
        scale: s, the size of a weight at the start or of its order.
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
