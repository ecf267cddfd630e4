"""The contract of a network: an ``nn.Module`` that maps an encoding's features to outputs."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import ClassVar, Literal

import torch
from torch import Tensor, nn

from encbench.contracts.activation import Activation
from encbench.contracts.encoding import IN_ENCODING, IN_NETWORK, Encoding, Part, marked
from encbench.errors import ParameterError, PluginError

SETTINGS = (
    "width",
    "depth",
    "parameterization",
    "beta",
    "first_layer_scale",
    "activation",
)
"""Settings of a suite's section ``network`` that a network may accept."""
Loss = Callable[[nn.Module, Tensor, Tensor], Tensor]
"""Maps a model, x (n, d) and y (n, O) to a scalar."""


@contextmanager
def in_encoding() -> Iterator[None]:
    """Context that marks exceptions as raised by the encoding."""
    try:
        yield
    except BaseException as error:
        error.add_note(IN_ENCODING)
        raise


class Network(nn.Module, ABC):
    """Base class of networks: compute f(x) (N, O) from an encoding's features γ(x) (N, d_e).

    A subclass takes the encoding and ``out_dim`` first, then those settings of a suite's section
    ``network`` that it uses, by name (``width``, ``depth``, ``parameterization``, ``beta``,
    ``first_layer_scale``, ``activation``), then its own parameters as typed keywords, like an
    encoding's::

        class Quadratic(Network):
            equation = "f(x) = g W₂ (W₁ γ(x) + b₁)² + b₂"
            source = "nobody, 2026"

            def __init__(self, encoding, out_dim, width, *, gain: float = 1.0) -> None:
                super().__init__(encoding, out_dim)
                self.gain = gain
                self.first = nn.Linear(encoding.out_dim, width)
                self.last = nn.Linear(width, out_dim)

            def from_features(self, features):
                return self.last(self.gain * self.first(features).square())

    Each row of the output must depend only on the same row of features (no batch statistics).
    float32 and float64 must both work.

    Raises:
        ParameterError: ``encoding`` is not an ``Encoding``.
    """

    equation: ClassVar[str] = ""
    """What the network computes, as one line of mathematics."""
    source: ClassVar[str] = ""
    """Where it comes from: authors, title, venue, year, equation."""
    usual_rate: ClassVar[float] = 1.0
    """Learning rate of ``lr = "auto"``, if it is not computed from the kernel, relative to that of
    a coordinate MLP of two hidden layers in standard parameterization."""
    not_parameters: ClassVar[tuple[str, ...]] = ("encoding", "out_dim", *SETTINGS)
    """Arguments of ``__init__`` that are not the network's own parameters."""
    adds_to_loss: bool = False
    """Whether ``objective`` adds to the task's loss; the kernel then cannot predict training."""
    activation: Activation | None = None
    """Activation of the hidden layers; None if a suite cannot choose it."""

    def __init__(
        self,
        encoding: Encoding,
        out_dim: int,
        parameterization: Literal["ntk", "standard"] = "standard",
    ) -> None:
        super().__init__()
        if not isinstance(encoding, Encoding):
            raise ParameterError(
                f"{type(self).__name__}: the encoding is a {type(encoding).__name__}, expected a "
                "subclass of encbench.Encoding: derive its class from that and call "
                "super().__init__(in_dim, out_dim)"
            )
        encoding.parameterize(parameterization)
        self.encoding = encoding
        self.in_dim = encoding.in_dim
        self.out_dim = out_dim

    @abstractmethod
    def from_features(self, features: Tensor) -> Tensor:  # (N, d_e) -> (N, O)
        """The outputs (N, O) for features (N, d_e), in their dtype."""

    def forward(self, x: Tensor) -> Tensor:  # (N, d) -> (N, O)
        with in_encoding():
            features = self.encoding(x)
        encoding = self.encoding
        _check_shape("encoding", encoding, features, len(x))
        try:
            out = self.from_features(features)
        except BaseException as error:
            if isinstance(error, RuntimeError):
                check_kind(encoding, features, x)
            error.add_note(IN_NETWORK)
            raise
        _check_shape("network", self, out, len(x))
        return out

    def objective(self, loss: Loss, x: Tensor, y: Tensor) -> Tensor:
        """The scalar that training minimizes on a batch; a subclass may add to the task's loss.

        Args:
            loss: the task's loss, a function of model, x and y.
            x: (n, d).
            y: (n, O).
        """
        return loss(self, x, y)

    def parameter_counts(self) -> dict[str, int]:
        """Number of parameters by part, ``{"mlp": …, "encoding": …}``; complex ones count twice."""
        encoding, total = (
            sum(p.numel() * (1 + p.is_complex()) for p in part.parameters())
            for part in (self.encoding, self)
        )
        return {"mlp": total - encoding, "encoding": encoding}


def check_kind(encoding: Encoding, features: Tensor, like: Tensor) -> None:
    """Raise PluginError if features differ in dtype or device from ``like`` (points or weights)."""
    if features.dtype != like.dtype or features.device != like.device:
        got, expected = (f"{each.dtype} on {each.device}" for each in (features, like))
        message = (
            f"the encoding {type(encoding).__name__} returned {got} for points of {expected}; "
            "let its forward take both from its input"
        )
        raise marked(PluginError(message), "encoding")


def _check_shape(kind: Part, part: Encoding | Network, out: object, points: int) -> None:
    shape = tuple(out.shape) if isinstance(out, Tensor) else ()
    if shape == (points, part.out_dim):
        return
    got = shape if isinstance(out, Tensor) else f"a {type(out).__name__}"
    mend = ""
    if kind == "encoding" and len(shape) == 2 and shape[0] == points:
        mend = f", or pass out_dim={shape[1]} to super().__init__"
    message = (
        f"the {kind} {type(part).__name__} returned {got} for {points} points; expected a torch "
        f"tensor (N, {part.out_dim}), one row per point{mend}"
    )
    raise marked(PluginError(message), kind)


def is_identity(encoding: Encoding) -> bool:
    """Whether the features equal the coordinates; on device "meta", whether the numbers match."""
    if encoding.out_dim != encoding.in_dim:
        return False
    if any(tensor.is_meta for tensor in (*encoding.parameters(), *encoding.buffers())):
        return True
    x = torch.linspace(0.03, 0.97, 7 * encoding.in_dim).view(7, -1)
    with torch.no_grad(), in_encoding():
        features = encoding(x)
    return x.is_meta or torch.equal(features, x)
