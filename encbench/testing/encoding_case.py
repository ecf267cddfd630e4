"""Building the encoding that is checked, calling it, and the points to call it with."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from encbench.contracts.encoding import Encoding
from encbench.testing.conformance import Conformance, fail, require

SEED = 20


def inner_points(
    count: int, in_dim: int, dtype: torch.dtype = torch.float64, seed: int = SEED
) -> Tensor:
    """(count, in_dim), random in (0, 1), and exact in float32 as well."""
    generator = torch.Generator().manual_seed(seed)
    return torch.rand(count, in_dim, generator=generator).clamp(1e-3, 1 - 1e-3).to(dtype)


def border_points(in_dim: int, dtype: torch.dtype) -> Tensor:
    """(5^in_dim, in_dim): corners, edges and faces of [0, 1]^in_dim, and points just inside."""
    inside = torch.finfo(dtype).eps
    axis = torch.tensor([0.0, inside, 0.5, 1 - inside, 1.0], dtype=dtype)
    return torch.cartesian_prod(*[axis] * in_dim).reshape(-1, in_dim)


class EncodingCase(Conformance):
    """An encoding's class with its parameters, and how the checks build and call it."""

    kind = "encoding"
    encoding: ClassVar[type[Encoding] | None] = None
    """The class to check."""
    dims: ClassVar[Sequence[int] | None] = None
    """Numbers of coordinates to check with; from ``min_dim`` to ``max_dim`` unless given."""

    @classmethod
    def subject_or_none(cls) -> Any:
        return cls.encoding

    def each_dim(self) -> Sequence[int]:
        """The numbers of coordinates to check with."""
        if self.dims is not None:
            return self.dims
        return range(self.subject.min_dim, self.subject.max_dim + 1)

    def one_dim(self) -> int:
        """Two coordinates where the encoding takes them."""
        return min(self.each_dim(), key=lambda in_dim: abs(in_dim - 2))

    def build(self, in_dim: int, dtype: torch.dtype = torch.float64, seed: int = SEED) -> Encoding:
        """The encoding, its random numbers from ``seed``."""
        values = self.validated()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            try:
                encoding = self.subject(in_dim, **values)
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
                fail(
                    f"{self.subject.__name__}(in_dim={in_dim}, {_keywords(values)}) raised {said}; "
                    "in_dim comes first, and every in_dim from min_dim to max_dim must do"
                )
        self._require_contract(encoding, in_dim)
        return encoding.to(dtype)  # type: ignore[no-any-return] # nn.Module.to returns itself

    def encode(self, encoding: Encoding, x: Tensor) -> Tensor:
        """The features of x; what forward raises fails the check."""
        shape = f"x of shape {tuple(x.shape)}, {x.dtype}"
        try:
            features: Tensor = encoding(x)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            fail(f"forward raised {said} for {shape}; it takes one tensor (N, in_dim) in [0, 1]")
        require(
            isinstance(features, Tensor),
            f"forward returned {type(features).__name__} for {shape}, expected one tensor",
        )
        return features

    def _require_contract(self, encoding: Any, in_dim: int) -> None:
        require(
            isinstance(encoding, Encoding),
            f"{self.subject.__name__} is no subclass of encbench.Encoding; derive it from that",
        )
        self.require_sizes(encoding, "in __init__, call super().__init__(in_dim, out_dim=…) first")
        require(
            encoding.in_dim == in_dim,
            f"built for in_dim={in_dim}, the encoding says in_dim={encoding.in_dim}; pass in_dim "
            "on to super().__init__",
        )


def stray_tensors(encoding: Encoding) -> list[str]:
    """Names of tensors that are attributes but neither parameters nor buffers."""
    return [
        f"{prefix}.{name}".lstrip(".")
        for prefix, module in encoding.named_modules()
        for name, value in vars(module).items()
        if _holds_tensor(value) and name not in ("_parameters", "_buffers", "_modules")
    ]


def _holds_tensor(value: Any) -> bool:
    if isinstance(value, Mapping):
        value = list(value.values())
    items = itertools.islice(value, 64) if isinstance(value, list | tuple) else [value]
    return any(isinstance(item, Tensor) for item in items)


def _keywords(values: dict[str, Any]) -> str:
    return ", ".join(f"{name}={value!r}" for name, value in values.items())
