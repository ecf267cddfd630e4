"""Several encodings side by side, each on all coordinates or on some of them."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Annotated, Any, TypeVar

import torch
from pydantic import Field
from torch import Tensor, nn

from encbench import Encoding, LearnedGrid, ParameterError, SparseBlock, UsageError
from encbench.contracts.encoding import check_range
from encbench.network.activations import activation_of
from encbench.plugins.registry import default_registry

Described = TypeVar("Described", SparseBlock, LearnedGrid)
DEFAULT_PARTS = ("ffe:levels=4", "hashgrid:log2_hashmap_size=14")


class Composite(Encoding):
    """Encodings concatenated, each on all or some coordinates; d_e = Σ of the parts' d_e.

    Each part is a selector of an encoding, optionally followed by ``@`` and the coordinates that
    it reads, counted from 0; without ``@`` it reads all:

        composite:parts=["ffe:levels=4@0,1","mpe:resolutions=[8]@2"]

    encodes the first two coordinates with Fourier features and the third with a grid; features
    are in this order. A part receives only its coordinates, in the order given. Parts may come
    from any installed plug-in, including composites. Their order also determines which random
    numbers initialize each part.

    With ``network.activation = "auto"`` the network has the activation that the parts expect.

    Parameters: the sum of the parts', named ``parts.0.…``, ``parts.1.…``. Sparse Jacobians of
    parts are used; the kernel of other parts is computed as without a composite.

    Outside [0, 1] each part behaves as it does alone.

    Args:
        in_dim: d, 1 to 4; a part may allow fewer.
        parts: the encodings. Default: ["ffe:levels=4", "hashgrid:log2_hashmap_size=14"].

    Raises:
        ParameterError: a part's name, parameters or coordinates are wrong, a coordinate is read
            by no part, or parts expect different activations; the message names the part.
    """

    equation = "γ(x) = [γ_1(x_(S_1)), γ_2(x_(S_2)), …], S_p the coordinates of part p"
    source = (
        "Müller et al., tiny-cuda-nn (Composite encoding), 2021; concatenation of encodings as in "
        'Audia et al., "How Learnable Grids Recover Fine Detail in Low Dimensions", ICLR 2025'
    )
    max_dim = 4
    encoding_parameters = ("parts",)

    def __init__(
        self,
        in_dim: int,
        *,
        parts: Annotated[
            list[str] | None,
            Field(
                min_length=1,
                description='encodings, each as "NAME:KEY=VALUE@0,1" (ffe beside hashgrid)',
            ),
        ] = None,
    ) -> None:
        self.check_dimension(in_dim, parts=parts)
        texts = list(DEFAULT_PARTS if parts is None else parts)
        built = [_build(text, in_dim) for text in texts]
        wanted = [encoding.activation for encoding, _ in built]
        expected = {activation_of(each, default_registry()) for each in wanted if each is not None}
        if len(expected) > 1:
            raise ParameterError(
                f"composite: parts of {texts} expect different activations of the network, "
                f"{' and '.join(sorted(map(str, expected)))}; leave all but one of them out"
            )
        super().__init__(in_dim, out_dim=sum(encoding.out_dim for encoding, _ in built))
        self.activation = next(iter(expected), None)
        self.texts = texts
        self.coordinates = [coordinates for _, coordinates in built]
        self.parts = nn.ModuleList([encoding for encoding, _ in built])

    @classmethod
    def check_dimension(cls, in_dim: int, **parameters: Any) -> None:
        super().check_dimension(in_dim)
        parts = parameters.get("parts")
        texts = list(DEFAULT_PARTS if parts is None else parts)
        unread = set(range(in_dim)).difference(*(_read(text, in_dim)[2] for text in texts))
        if unread:
            missing = ",".join(map(str, sorted(unread)))
            raise ParameterError(
                f"composite: no part of {texts} reads coordinate {missing}; add a part such as "
                f"'identity@{missing}'"
            )

    def _inputs(self, x: Tensor) -> list[tuple[Encoding, Tensor]]:
        """Each part with its coordinates (N, d_p)."""
        everything = tuple(range(self.in_dim))
        return [
            (part, x if chosen == everything else torch.stack([x[:, c] for c in chosen], dim=1))
            for part, chosen in zip(self._encodings, self.coordinates, strict=True)
        ]

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, d_e)
        return torch.cat([part(own) for part, own in self._inputs(x)], dim=1)

    def sparse_jacobian(self, x: Tensor) -> list[SparseBlock] | None:
        """The parts' blocks, with the composite's names and features; None if no part has any."""
        return self._numbered([p.sparse_jacobian(own) or () for p, own in self._inputs(x)]) or None

    def learned_grids(self) -> list[LearnedGrid]:
        """The parts' grids, with the composite's names and features."""
        return self._numbered([part.learned_grids() for part in self._encodings])

    def _numbered(self, found: Iterable[Sequence[Described]]) -> list[Described]:
        """The parts' blocks or grids, with the composite's names and features."""
        starts = itertools.accumulate((part.out_dim for part in self._encodings), initial=0)
        return [
            replace(one, parameter=f"parts.{index}.{one.parameter}", start=start + one.start)
            for index, (start, each) in enumerate(zip(starts, found, strict=False))
            for one in each
        ]

    @property
    def _encodings(self) -> list[Encoding]:
        return [part for part in self.parts if isinstance(part, Encoding)]

    def extra_repr(self) -> str:
        return f"{super().extra_repr()}, parts={self.texts}"


def _build(text: str, in_dim: int) -> tuple[Encoding, tuple[int, ...]]:
    """The encoding that a part names, and the coordinates it reads."""
    encoding, settings, coordinates = _read(text, in_dim)
    with _naming(text):
        return encoding(len(coordinates), **settings), coordinates


def _read(text: str, in_dim: int) -> tuple[type[Encoding], dict[str, Any], tuple[int, ...]]:
    """The class that a part names, its parameters, and the coordinates it reads."""
    with _naming(text):
        selector, coordinates = _split(text, in_dim)
        offer, settings, _ = default_registry().choose("encoding", selector)
        encoding: type[Encoding] = offer.load()
        check_range(encoding, len(coordinates), offer.name)
        encoding.check_dimension(len(coordinates), **settings)
        return encoding, settings, coordinates


@contextmanager
def _naming(text: str) -> Iterator[None]:
    """Context that adds the part to the messages of errors."""
    try:
        yield
    except UsageError as error:
        raise ParameterError(f"composite: part {text!r}: {error}") from None


def _split(text: str, in_dim: int) -> tuple[str, tuple[int, ...]]:
    """A part's selector, and its coordinates."""
    selector, at, tail = text.rpartition("@")
    if not at or set(tail) & set("\"'])"):
        return text, tuple(range(in_dim))  # no @, or one within a quoted value
    if not re.fullmatch(r"\s*\d+\s*(,\s*\d+\s*)*", tail):
        raise ParameterError(
            f"{tail!r} after @ is no list of coordinates; expected numbers from 0 to {in_dim - 1}, "
            "for example ffe:levels=4@0,1"
        )
    coordinates = tuple(int(number) for number in tail.split(","))
    outside = [number for number in coordinates if number >= in_dim]
    if outside:
        raise ParameterError(
            f"there is no coordinate {outside[0]} where in_dim={in_dim}; they count from 0 to "
            f"{in_dim - 1}"
        )
    if len(set(coordinates)) < len(coordinates):
        raise ParameterError(f"@{tail} names a coordinate twice; name each once")
    return selector, coordinates
