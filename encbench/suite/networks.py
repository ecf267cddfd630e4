"""Build encodings and networks from the settings of a suite."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import lru_cache
from operator import index
from typing import Any

import torch
from torch import nn
from torch.overrides import TorchFunctionMode

from encbench.contracts.encoding import Encoding, check_range
from encbench.contracts.network import SETTINGS, Network
from encbench.errors import EncbenchError, ParameterError, UsageError
from encbench.network.activations import activation_of
from encbench.network.mlp import CoordinateMLP
from encbench.plugins.registry import Registry, default_registry, named_failures
from encbench.suite.config import NetworkConfig

NEUTRAL = {name: field.default for name, field in NetworkConfig.model_fields.items()} | {
    # networks that do not take this setting are initialized as their sources say
    "parameterization": "standard"
}


def network_class(kind: str, registry: Registry) -> tuple[type[Network], dict[str, Any], str]:
    """The class named by a text such as "resmlp:skip=2", its parameters, and the shortest text.

    Raises:
        PluginError: the class cannot be loaded.
        UsageError: there is no such network, or it has other parameters.
    """
    if kind == "mlp":
        return CoordinateMLP, {}, kind
    offer, parameters, text = registry.choose("network", kind)
    return offer.load(), parameters, text


@lru_cache(maxsize=1024)  # called for each of thousands of cells
def taken_by(cls: type[Network]) -> tuple[str, ...]:
    """The names in ``SETTINGS`` that a network takes."""
    parameters = inspect.signature(cls).parameters
    return tuple(name for name in SETTINGS if name in parameters)


def of_kind(
    config: NetworkConfig, given: Collection[str], registry: Registry
) -> tuple[NetworkConfig, tuple[str, ...], list[str]]:
    """Reset the settings that the network does not take to neutral values.

    Args:
        given: names of the settings that were set explicitly.

    Returns:
        The settings, with ``kind`` in its shortest spelling; the names of those that the network
        takes; and a message for each that was given and has no effect.

    Raises:
        UsageError: there is no such network, or it has other parameters.
    """
    cls, _, kind = network_class(config.kind, registry)
    taken = taken_by(cls)
    left = {name: NEUTRAL[name] for name in SETTINGS if name not in taken}
    ignored = [
        f"network.{name} has no effect with the network {kind}"
        for name, value in left.items()
        if name in given and getattr(config, name) != value
    ]
    return config.model_copy(update={**left, "kind": kind}), taken, ignored


class _NoNormalValues(TorchFunctionMode):
    """Skips setting normal values: torch does it in Python on "meta", and the first use takes half
    a second."""

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if func in (nn.init.normal_, torch.Tensor.normal_):
            return args[0] if args else kwargs["tensor"]
        if func is torch.randn:
            func = torch.rand
        return func(*args, **kwargs)


@contextmanager
def without_memory() -> Iterator[None]:
    """Create tensors with shapes but without values inside the context."""
    with torch.device("meta"), _NoNormalValues():
        yield


def encoding(text: str, in_dim: int, **parameters: Any) -> Encoding:
    """Create an encoding for use in your own network: an ``nn.Module`` from coordinates
    (N, in_dim) in [0, 1] to features (N, out_dim).

    hashgrid = encbench.encoding("hashgrid", in_dim=3, levels=8, log2_hashmap_size=19)

    Args:
        text: its name, or name and parameters as for ``-e``: "hashgrid:levels=8".
        in_dim: d, number of coordinates of a point.
        parameters: parameters that differ from their defaults and are not in the text.

    Raises:
        ParameterError: the encoding does not take this dimension, or a parameter is out of range.
        PluginError: its class cannot be loaded, or raised another exception.
        UsageError: there is no such encoding, it has no such parameter, or one is given twice.
    """
    try:
        index(in_dim)
    except TypeError:
        raise ParameterError(f"in_dim is {in_dim!r}; expected a whole number") from None
    if not isinstance(text, str):
        raise UsageError(f"text is {text!r}; expected the name of an encoding, such as 'ffe'")
    offer, chosen, _ = default_registry().choose("encoding", text, parameters)
    check_range(offer.load(), in_dim, offer.name)
    found: Encoding = offer.call(lambda cls: built_encoding(cls, in_dim, chosen))
    return found


def built_encoding(cls: type[Encoding], in_dim: int, parameters: Mapping[str, Any]) -> Encoding:
    """Create an encoding and check that its ``__init__`` called that of ``Encoding``.

    Raises:
        TypeError: it did not, or its dimensions are not integers.
        ValueError: it has no features. Its constructor may raise any other exception.
    """
    # in_dim may be a NumPy integer, and the constructor may change its parameters
    encoding = cls(index(in_dim), **deepcopy(dict(parameters)))
    if "_modules" not in vars(encoding):
        raise TypeError("its __init__ must call super().__init__(in_dim, out_dim)")
    for name in ("in_dim", "out_dim"):
        if not isinstance(getattr(encoding, name, None), int):
            raise TypeError(
                f"{name} is no integer; its __init__ must call super().__init__(in_dim, out_dim)"
            )
    if encoding.out_dim < 1:
        raise ValueError(f"its out_dim is {encoding.out_dim}, expected at least 1")
    return encoding


def build_network(
    config: NetworkConfig, encoding: Encoding, out_dim: int, registry: Registry | None = None
) -> Network:
    """Build the network of these settings, which planning has completed.

    Args:
        registry: where the network and its activation are looked up; default: this environment.

    Raises:
        ParameterError: encoding and network do not fit together.
        PluginError: the network's class raised another exception.
        UsageError: no such network or activation is installed here, or it has other parameters.
    """
    registry = registry or default_registry()
    cls, parameters, _ = network_class(config.kind, registry)
    return network_from(cls, parameters, config, encoding, out_dim, registry)


def network_from(
    cls: type[Network],
    parameters: Mapping[str, Any],
    config: NetworkConfig,
    encoding: Encoding,
    out_dim: int,
    registry: Registry | None,
) -> Network:
    """Build a network from its class; without a registry, only built-in activations are found."""
    given: dict[str, Any] = {name: getattr(config, name) for name in taken_by(cls)}
    if "activation" in given:
        asked = encoding.activation if config.activation == "auto" else config.activation
        given["activation"] = activation_of(asked or "relu", registry)

    def whose(error: BaseException) -> str:
        if isinstance(error, EncbenchError) or registry is None or config.kind == "mlp":
            return ""
        offer, _, _ = registry.choose("network", config.kind)
        # an error in a built-in network comes from a plug-in that it calls: an activation
        return "" if offer.distribution == "encbench" else str(offer)

    with named_failures(whose):
        return cls(encoding, out_dim, **given, **parameters)
