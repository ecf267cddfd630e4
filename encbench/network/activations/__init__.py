"""Activations of the coordinate MLP, by name.

An activation is written like an encoding, ``name`` or ``name:parameter=value``: ``"relu"``,
``"sine:omega=10"``. ``"auto"`` is the encoding's default activation.
"""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING

from encbench.errors import ParameterError, did_you_mean
from encbench.plugins.hookspecs import hookimpl
from encbench.plugins.parameters import validate_parameters
from encbench.plugins.selector import parse_selector

if TYPE_CHECKING:
    # imports torch, which `encbench list` must not
    from encbench.contracts.activation import Activation
    from encbench.plugins.registry import Registry

BUILT_IN = {
    "smooth": {"relu": "Relu", "gelu": "Gelu", "silu": "Silu", "tanh": "Tanh"},
    "periodic": {
        "sine": "Sine",
        "finer": "Finer",
        "finer_gauss": "FinerGauss",
        "gabor": "Gabor",
        "sinc": "Sinc",
        "hosc": "Hosc",
        "exp_sin": "ExpSin",
    },
    "learned": {"staf": "Staf"},
    "wavelets": {"complex_gabor": "ComplexGabor", "finer_wavelet": "FinerWavelet"},
    "bumps": {
        "gaussian": "Gaussian",
        "super_gaussian": "SuperGaussian",
        "laplacian": "Laplacian",
        "quadratic": "Quadratic",
        "multi_quadratic": "MultiQuadratic",
    },
}
"""Module to its activations, name to class."""


@hookimpl
def encbench_activations() -> Mapping[str, str]:
    return {
        name: f"{__name__}.{module}:{cls}"
        for module, classes in BUILT_IN.items()
        for name, cls in classes.items()
    }


def activation_of(text: str | Activation, registry: Registry | None = None) -> Activation:
    """The activation described by a text such as "sine:omega=10"; an activation is returned as is.

    Args:
        text: name and parameters.
        registry: plug-ins to search; None: only built-in activations.

    Raises:
        ParameterError: an unknown name or parameter, or a value out of range.
        PluginError: a plug-in's class cannot be loaded or violates the contract of ``Activation``.
    """
    from encbench.contracts.activation import Activation

    if isinstance(text, Activation):
        return text
    if not isinstance(text, str):
        raise ParameterError(
            f"an activation must be a text such as 'relu' or 'sine:omega=10', got {text!r}"
        )
    name, given = parse_selector(text)
    known = encbench_activations()
    if name in known:
        module, _, attribute = known[name].partition(":")
        cls = getattr(import_module(module), attribute)
        made: Activation = cls(**validate_parameters("activation", name, cls, given))
        return made
    if registry is not None:
        offers = [offer.name for offer in registry.offers("activation")]
        known = {**known, **dict.fromkeys(offers, "")}
        if name.rpartition(":")[2] in offers:
            offer, parameters, _ = registry.choose("activation", text)
            made = offer.call(lambda cls: _checked(cls(**parameters)))
            return made
    if name == "auto":
        raise ParameterError(
            f"activation {text!r}: 'auto' takes no parameters, as it is the activation that the "
            "encoding asks for; name one, such as 'sine:omega=2'"
        )
    raise ParameterError(
        f"there is no activation {name!r}"
        + did_you_mean(
            name,
            known,
            f"there are: {', '.join(known)}, and 'auto' for the one that the encoding asks for",
        )
    )


def _checked(made: Activation) -> Activation:
    """Return a plug-in's activation; raise TypeError if it has no name or changes the shape."""
    if not isinstance(getattr(made, "name", None), str):
        raise TypeError('it has no name; set one in its class, such as name = "bump"')
    import torch  # not at the top, for `encbench list`

    z = torch.zeros(2, 3)
    with torch.no_grad():
        shape = made.module()(z).shape
    if shape != z.shape:
        raise TypeError(f"it turns (2, 3) into {tuple(shape)}; an activation must keep the shape")
    return made
