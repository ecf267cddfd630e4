"""A small plug-in for tests: a 1D function to learn and three encodings, two of which fail."""

from __future__ import annotations

import hashlib
import math
from types import SimpleNamespace
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from encbench import Encoding, Outcome, Task, hookimpl
from encbench.contracts.task import NetworkDefaults, Predict
from encbench.plugins.host import Plugin, PluginHost, default_host
from encbench.plugins.registry import Registry


class Wave(Task):
    """A sine on [0, 1], known at some points."""

    in_dim = 1
    out_dim = 1
    network: ClassVar = NetworkDefaults(width=32, depth=1)

    def __init__(self, *, points: Annotated[int, Field(ge=2)] = 64, broken: bool = False) -> None:
        if broken:
            raise OSError("the tide is out")
        self.x = torch.linspace(0, 1, points, dtype=torch.float64)[:, None]
        self.y = (0.5 + 0.5 * torch.sin(2 * math.pi * self.x)).float()

    @classmethod
    def data_hash(cls, **parameters: Any) -> str:
        return hashlib.sha256(repr(sorted(parameters.items())).encode()).hexdigest()

    @property
    def points_per_epoch(self) -> int:
        return len(self.x)

    def epoch(self, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return self.x, self.y

    def progress_metric(self, predict: Predict) -> float:
        error = torch.mean((predict(self.x) - self.y) ** 2).item()
        return -10 * math.log10(error) if error > 0 else math.nan if error != error else math.inf

    def evaluate(self, predict: Predict) -> Outcome:
        image = predict(self.x).reshape(1, -1, 1).numpy().clip(0, 1)
        truth = self.y.reshape(1, -1, 1).numpy()
        return Outcome(
            comparisons={"image": (image, truth)},
            pictures={"prediction": (255 * image[..., 0]).astype(np.uint8)},
        )


class Scaled(Encoding):
    """Coordinates times a factor."""

    equation = "γ(x) = s·x"
    source = "the tests"

    def __init__(
        self, in_dim: int, *, scale: Annotated[float, Field(gt=0, description="factor")] = 1.0
    ) -> None:
        super().__init__(in_dim, in_dim)
        self.scale = scale

    def forward(self, x: Tensor) -> Tensor:
        return self.scale * x


class NotANumber(Encoding):
    """Raises in its forward pass."""

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim, in_dim)

    def forward(self, x: Tensor) -> Tensor:
        raise ValueError("this encoding cannot")


class Hungry(Encoding):
    """Allocates more memory than there is."""

    def __init__(self, in_dim: int) -> None:
        super().__init__(in_dim, in_dim)
        torch.empty(1 << 50)

    def forward(self, x: Tensor) -> Tensor:
        return x


def module(**hooks: Any) -> SimpleNamespace:
    """A plug-in module whose hooks return the given values, or raise them if exceptions."""
    functions = {}
    for name, value in hooks.items():

        def hook(value: Any = value) -> Any:
            if isinstance(value, Exception):
                raise value
            return value

        # pluggy looks at the signature: a hook that offers something takes no argument
        functions[f"encbench_{name}"] = hookimpl(lambda hook=hook: hook())
    return SimpleNamespace(**functions)


def registry_of(**modules: Any) -> Registry:
    """A registry of these modules, not installed, and encbench's optimizers and networks."""
    host = PluginHost()
    kept = {"optimizer", "network"}
    host.plugins += [each for each in default_host().plugins if kept & each.offers.keys()]
    for distribution, contents in modules.items():
        plugin = Plugin("main", distribution, "1.0", f"{distribution}.main")
        host.plugins.append(plugin)
        host.register(plugin, contents)
    return Registry(host)
