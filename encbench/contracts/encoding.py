"""The contract of an input encoding: an ``nn.Module`` from coordinates to features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Literal

from torch import Tensor, nn

from encbench.errors import ParameterError

if TYPE_CHECKING:
    from encbench.network.activations import Activation

__all__ = ["Encoding", "SparseBlock"]


@dataclass(frozen=True)
class SparseBlock:
    """Jacobian of some output features with respect to one table of parameters.

    Describes features that are linear in the rows of a table,
    ``feature[n, start + c] = Σ_j weights[n, j] · table[rows[n, j], c]``, as every
    interpolated grid is. Column ``c`` of the table feeds output feature ``start + c``.
    A row that stands twice in ``rows[n]`` (a hash collision) counts twice: the engine adds
    its weights. Blocks of one parameter must touch disjoint sets of rows.
    """

    parameter: str
    """Name of the table, as in ``encoding.named_parameters()``."""
    rows: Tensor
    """(N, m) int64, rows of the table, 0 <= row < num_rows."""
    weights: Tensor
    """(N, m) interpolation weights, in the dtype of x."""
    num_rows: int
    """Rows of the table (all of the parameter, also those this block does not touch)."""
    start: int
    """First output feature of the block."""
    width: int
    """Number of output features, the table's columns."""


class Encoding(nn.Module, ABC):
    """Base class of encodings: x (N, in_dim) in [0, 1]^in_dim to features (N, out_dim).

    A subclass takes ``in_dim`` first and its own parameters as typed keywords; those
    keywords *are* the encoding's parameters, validated from their annotations
    (``Annotated[int, Field(ge=1)]`` narrows a range), shown by ``encbench list NAME`` and
    settable from suite files and the command line::

        class Scaled(Encoding):
            equation = "γ(x) = s·x"
            source = "nobody, 2026"

            def __init__(self, in_dim: int, *, scale: float = 1.0) -> None:
                super().__init__(in_dim, out_dim=in_dim)
                self.scale = scale

            def forward(self, x):
                return self.scale * x

    ``forward`` must treat each row of x independently of the others (no batch statistics),
    and accept float32 and float64.
    """

    equation: ClassVar[str] = ""
    """What the encoding computes, in one line of mathematics."""
    source: ClassVar[str] = ""
    """Where it comes from: authors, title, venue, year, equation."""
    bibtex: ClassVar[str | None] = None
    """The same as BibTeX entries, for ``encbench cite``; ``source`` is cited unless given, and
    nothing where it is empty."""
    min_dim: ClassVar[int] = 1
    max_dim: ClassVar[int] = 3
    activation: str | Activation | None = None
    """The hidden layers' activation that the encoding is meant for: what "auto" stands for.

    None leaves it to the task, and without its word to ReLU. An encoding whose parameters decide
    about it names one here too and sets its own in ``__init__``."""

    in_dim: int
    out_dim: int

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        if not self.min_dim <= in_dim <= self.max_dim:
            takes = str(self.min_dim)
            if self.max_dim != self.min_dim:
                takes = f"{self.min_dim} to {self.max_dim}"
            raise ParameterError(
                f"{type(self).__name__} takes points of {takes} coordinates, got {in_dim}; "
                "choose another encoding or task"
            )
        self.in_dim = in_dim
        self.out_dim = out_dim

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:  # (N, in_dim) -> (N, out_dim)
        """Features of the coordinates x."""

    def sparse_jacobian(self, x: Tensor) -> Sequence[SparseBlock] | None:
        """Jacobian of the features at x (N, in_dim) as sparse blocks, or None.

        The fast road of the NTK engine. Return None (the default) where the features are not
        linear in rows of tables: the engine then takes a correct, slower road. Parameters
        that no block names take that road too.
        """
        return None

    def parameterize(self, parameterization: Literal["ntk", "standard"]) -> None:
        """Told by a network that is built on this encoding what parameterization its layers have.

        An encoding with dense layers of its own may rescale their parameters here, so that it
        learns at a pace with the network's; never the features. May be told more than once.
        The default passes it on to encodings inside this one.
        """
        for part in self.modules():
            if part is not self and isinstance(part, Encoding):
                part.parameterize(parameterization)

    def extra_repr(self) -> str:
        return f"in_dim={self.in_dim}, out_dim={self.out_dim}"
