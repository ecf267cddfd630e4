"""Generated pages of the documentation site: names, parameters, API."""

from __future__ import annotations

import inspect
import io
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from matplotlib import colormaps
from PIL import Image

import encbench
from encbench.plugins.parameters import parameters_of
from encbench.plugins.registry import default_registry

SIDE, GAP, SHOWN = 96, 4, 8  # size of a map and gap [pixels]; maximum number of maps per picture
EXAMPLE = {"composite": {"parts": ["ffe:levels=2", "mpe:resolutions=[8]"]}}
"""Parameters for the pictures of encodings without features by default."""
MODULES = {"encbench": encbench, "encbench.ntk": encbench.ntk, "encbench.testing": encbench.testing}


def pages() -> dict[str, str | bytes]:
    """Contents of the generated pages and pictures, by path in the site."""
    found: dict[str, str | bytes] = {
        "reference/encodings.md": "\n".join(encodings()),
        "reference/tasks.md": "\n".join(kinds({"task": "Tasks"}, "Tasks, one by one")),
        "reference/metrics.md": "\n".join(kinds({"metric": "Metrics"}, "Metrics, one by one")),
        "reference/training.md": "\n".join(
            kinds(
                {
                    "network": "Networks",
                    "activation": "Activations",
                    "optimizer": "Optimizers",
                    "schedule": "Schedules",
                },
                "Networks, activations, optimizers, schedules",
            )
        ),
        "reference/suites.md": "\n".join(suites()),
    }
    for offer in _offers("encoding"):
        found[f"reference/features/{offer.name}.png"] = features(offer.name, offer.load())
    for name, module in MODULES.items():
        head = f"# `{name}`\n\n{inspect.getdoc(module).partition(chr(10))[0]}\n"
        found[f"reference/{name}.md"] = head + "".join(
            _documented(name, public, getattr(module, public))
            for public in module.__all__
            if not inspect.ismodule(getattr(module, public))
        )
    return found


def _documented(module: str, name: str, value: object) -> str:
    # named by its module: encbench.ntk.spectrum is both a function and a module
    home = value.__module__ if inspect.isclass(value) or inspect.isroutine(value) else module
    return f"\n::: {home}.{name}\n    options:\n      heading: {module}.{name}\n"


def _offers(kind: str):
    return [o for o in default_registry().offers(kind) if o.distribution == "encbench"]


def encodings() -> Iterator[str]:
    """The page of encodings, with a picture of the features of each."""
    yield "# Encodings, one by one\n"
    yield (
        "What `encbench list NAME` prints, with a picture of the features over [0, 1]² before "
        "training: x to the right, y downwards, dark to bright from the smallest to the largest "
        f"value of each. At most {SHOWN} are shown, evenly spaced among all. "
        "[All encodings in one table](../encodings.md) compares them.\n"
    )
    for offer in _offers("encoding"):
        cls = offer.load()
        yield f"## {offer.name}\n"
        yield f"![Features of {offer.name}](features/{offer.name}.png)\n"
        if offer.name in EXAMPLE:
            shown = " beside ".join(f"`{part}`" for part in EXAMPLE[offer.name]["parts"])
            yield f"*Here: {shown}.*\n"
        if _dimension(cls) == 3:
            yield "*A slice where the third coordinate is 0.4.*\n"
        yield from described(cls)


def kinds(titles: dict[str, str], page: str) -> Iterator[str]:
    """A page of all plug-ins of the given kinds (kind to title)."""
    yield f"# {page}\n"
    for kind, title in titles.items():
        if len(titles) > 1:
            yield f"## {title}\n"
        for offer in _offers(kind):
            yield f"{'##' if len(titles) == 1 else '###'} {offer.name}\n"
            yield from described(offer.load())


def suites() -> Iterator[str]:
    yield "# Packaged suites\n"
    yield "`encbench run NAME` runs one; [what the settings mean](../suites.md).\n"
    for offer in _offers("suite"):
        yield f"## {offer.name}\n"
        yield f"```toml\n{Path(offer.target).read_text(encoding='utf-8').rstrip()}\n```\n"


def described(cls: type) -> Iterator[str]:
    """Docstring, equation, parameters and source of a plug-in."""
    text = re.split(r"(?m)^(?:Args|Raises):$", inspect.getdoc(cls) or "")[0]
    yield text.replace("``", "`").rstrip() + "\n"
    if equation := getattr(cls, "equation", ""):
        yield f"```text\n{equation}\n```\n"
    if facts := _facts_of_metric(cls):
        yield facts + "\n"
    parameters = parameters_of(cls)
    if parameters:
        searched = any(p.search for p in parameters)
        columns = ["parameter", "type", "default", *["tuned in"] * searched, ""]
        yield f"| {' | '.join(columns)} |\n{'|---' * len(columns)}|"
        for p in parameters:
            default = "(required)" if p.required else f"`{p.default!r}`"
            search = [str(p.search or "")] * searched
            cells = (f"`{p.name}`", f"`{p.type}`", default, *search, p.description)
            yield f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
        yield ""
    if source := getattr(cls, "source", ""):
        yield f"Source: {source}\n"


def _facts_of_metric(cls: type) -> str:
    if not issubclass(cls, encbench.Metric):
        return ""
    low, high = cls.range
    unit = cls.unit or "no unit"
    return f"Column *{cls.title}*; {unit}; {low:g} to {high:g}; {cls.direction} is better."


def _dimension(cls: type[encbench.Encoding]) -> int:
    return 2 if cls.min_dim <= 2 <= cls.max_dim else 3


def features(name: str, cls: type[encbench.Encoding]) -> bytes:
    """A PNG of features over [0, 1]², side by side, each from its smallest value to its largest."""
    torch.manual_seed(0)
    dim = _dimension(cls)
    encoding = cls(dim, **EXAMPLE.get(name, {}))
    axis = (torch.arange(SIDE) + 0.5) / SIDE
    x = torch.cartesian_prod(axis, axis).flip(1)  # rows of the picture are y
    x = torch.cat((x, torch.full((len(x), dim - 2), 0.4)), 1)
    with torch.no_grad():
        values = encoding(x).T.reshape(-1, SIDE, SIDE)
    chosen = torch.linspace(0, len(values) - 1, min(SHOWN, len(values))).round().long()
    maps = values[chosen].numpy()
    low, high = maps.min((1, 2), keepdims=True), maps.max((1, 2), keepdims=True)
    maps = (maps - low) / np.maximum(high - low, 1e-12)
    picture = np.zeros((SIDE, len(maps) * (SIDE + GAP) - GAP, 4), np.uint8)
    for number, one in enumerate(maps):
        left = number * (SIDE + GAP)
        picture[:, left : left + SIDE] = colormaps["viridis"](one, bytes=True)
    written = io.BytesIO()
    Image.fromarray(picture).save(written, "png", optimize=True)
    return written.getvalue()
