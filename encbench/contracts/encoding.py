"""The contract of an input encoding: an ``nn.Module`` from coordinates to features."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from inspect import signature
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from torch import Tensor, nn

from encbench.errors import ParameterError

if TYPE_CHECKING:
    from encbench.contracts.activation import Activation

IN_ENCODING = "raised by the encoding's forward"
"""Note added to an exception; from it a record determines which plug-in failed."""
IN_NETWORK = "raised by the network behind the encoding"
Part = Literal["encoding", "network"]


def marked(error: Exception, part: Part) -> Exception:
    """The exception with the note from which a record determines whose it is."""
    error.add_note(IN_ENCODING if part == "encoding" else IN_NETWORK)
    return error


@dataclass(frozen=True)
class SparseBlock:
    """Jacobian of some output features with respect to one table of parameters.

    Describes features that are linear in the rows of a table, such as those of interpolated
    grids: ``feature[n, start + c] = Σ_j weights[n, j] · table[rows[n, j], c]``, so column c
    of the table determines output feature start + c. A row that occurs twice in ``rows[n]`` (a
    hash collision) counts twice: its weights are added. Blocks of one parameter must use
    disjoint sets of rows.

    If a feature is a product of values of several tables (K-planes) or a sum of such products,
    each table has a block whose ``factor`` is what its value is multiplied by: the other tables'
    values at the points.
    """

    parameter: str
    """Name of the table, as in ``encoding.named_parameters()``."""
    rows: Tensor
    """(N, m) int64 indices of rows of the table, 0 <= row < num_rows."""
    weights: Tensor
    """(N, m) interpolation weights, in the dtype of x."""
    num_rows: int
    """Number of rows of the whole table, including rows that this block does not use."""
    start: int
    """First output feature of the block."""
    width: int
    """Number of output features of the block = columns of the table."""
    factor: Tensor | None = None
    """(N, width), in the dtype of x: multiplies the sum over j above. None means 1."""


@dataclass(frozen=True)
class LearnedGrid:
    """One grid of learned values, to draw it: the table row that holds the values of each node."""

    parameter: str
    """Name of the table, as in ``encoding.named_parameters()``; its columns are the values."""
    rows: Tensor | None
    """(n_k, …, n_1) int64: row of the table at each node, -1 if it has none. The first coordinate
    runs along the last axis, as in an image. None if nodes share rows, as in a hash grid, or are
    too many to list; the output features below are drawn instead."""
    start: int
    """First output feature that the grid determines."""
    width: int
    """Number of output features."""


class Encoding(nn.Module, ABC):
    """Base class of encodings: x (N, in_dim) in [0, 1]^in_dim to features (N, out_dim).

    A subclass takes ``in_dim`` first and its own parameters as typed keywords; those
    keywords *are* the encoding's parameters: validated according to their annotations
    (``Annotated[int, Field(ge=1)]`` restricts the range), shown by ``encbench list NAME``, and
    set in suite files or on the command line::

        class Scaled(Encoding):
            equation = "γ(x) = s·x"
            source = "nobody, 2026"

            def __init__(self, in_dim: int, *, scale: float = 1.0) -> None:
                super().__init__(in_dim, out_dim=in_dim)
                self.scale = scale

            def forward(self, x):
                return self.scale * x

    ``forward`` must treat each row of x independently of the others (no batch statistics), and
    accept float32 and float64. Building one raises ``ParameterError`` unless
    min_dim <= in_dim <= max_dim.
    """

    equation: ClassVar[str] = ""
    """What the encoding computes, as one line of mathematics."""
    source: ClassVar[str] = ""
    """Where it comes from: authors, title, venue, year, equation."""
    bibtex: ClassVar[str | None] = None
    """BibTeX entries for ``encbench cite``. None: an entry is generated from ``source``; "":
    nothing is cited."""
    min_dim: ClassVar[int] = 1
    """Smallest number of coordinates."""
    max_dim: ClassVar[int] = 3
    """Largest number of coordinates."""
    size_parameters: ClassVar[tuple[str | tuple[str, ...], ...]] = ()
    """Names of the parameters (int or list of int) that a parameter budget adjusts: first the main
    one, then those with finer steps. Names in a tuple of their own keep their proportions. The
    number of trained parameters must increase with each. An attribute of the same name gives the
    value where a parameter's default is None."""
    width_parameter: ClassVar[str | None] = None
    """Name of the parameter that is the width of a layer like the network's hidden ones. A
    parameter budget sizes both to the same width where that comes within 5 %, unless either is
    given."""
    encoding_parameters: ClassVar[tuple[str, ...]] = ()
    """Names of the parameters whose texts select other encodings, such as a composite's parts; a
    cell is run again when a plug-in of one of these has another version."""
    activation: str | Activation | None = None
    """Activation of the network's hidden layers, such as "sine", if the setting is "auto".

    None: the task's default, else ReLU. If it depends on the encoding's parameters, set a default
    here and the actual value in ``__init__``."""

    fallback: str | None = None
    """Why a slower method computed the features, such as "no compiler found"; None if none did.
    Set it when the slower method is chosen; records store it in ``step_method``."""

    in_dim: int
    """d, coordinates of a point."""
    out_dim: int
    """Number of features."""

    def __init__(self, in_dim: int, out_dim: int) -> None:
        super().__init__()
        check_range(type(self), in_dim)
        self.in_dim = in_dim
        self.out_dim = out_dim

    @classmethod
    def check_dimension(cls, in_dim: int, **parameters: Any) -> None:
        """Check that the encoding supports a dimension; called before a run begins.

        If support depends on more than min_dim and max_dim, override it and call ``super()``.

        Args:
            in_dim: d, coordinates of the task's points.
            parameters: all of the encoding's parameters, already validated.

        Raises:
            ParameterError: an encoding with these parameters does not support this dimension.
        """
        check_range(cls, in_dim)

    @abstractmethod
    def forward(self, x: Tensor) -> Tensor:  # (N, in_dim) -> (N, out_dim)
        """Features (N, out_dim) at x (N, in_dim), in the dtype of x."""

    def sparse_jacobian(self, x: Tensor) -> Sequence[SparseBlock] | None:
        """Jacobian of the features at x (N, in_dim) as sparse blocks, or None.

        Speeds up the NTK of the encoding's tables; also speeds up training if the features are
        linear in rows of tables and the blocks cover all parameters. Return None (the default)
        unless the features are linear in rows of tables, or products or sums of products of such
        features. Autograd handles parameters without a block, more slowly and equally exactly.
        """
        return None

    def learned_grids(self) -> Sequence[LearnedGrid]:
        """The grids of learned values, coarsest first, from which they are drawn; default: none."""
        return ()

    def parameterize(self, parameterization: Literal["ntk", "standard"]) -> None:
        """Adapt to the parameterization of the network that uses this encoding.

        Called by the network's constructor, possibly more than once. An encoding with dense
        layers may rescale their parameters here, so that they learn at the same rate as the
        network's; the features must not change. The default forwards the call to all encodings
        contained in this one.
        """
        for part in self.modules():
            if part is not self and isinstance(part, Encoding):
                part.parameterize(parameterization)

    def extra_repr(self) -> str:
        """The dimensions, and those parameters that are stored as attributes."""
        own = vars(self)
        named = [name for name in signature(type(self)).parameters if name in own]
        shown = dict.fromkeys(("in_dim", "out_dim", *named))
        return ", ".join(f"{name}={own[name]!r}" for name in shown)


def check_range(encoding: type[Encoding], in_dim: int, name: str = "") -> None:
    """Raise ParameterError unless min_dim <= in_dim <= max_dim; ``name`` is the registered one."""
    low, high = encoding.min_dim, encoding.max_dim
    if not low <= in_dim <= high:
        takes = str(low) if low == high else f"{low} to {high}"
        raise ParameterError(
            f"{name or encoding.__name__} takes points of {takes} coordinates, got {in_dim}; "
            "choose another encoding or task"
        )
