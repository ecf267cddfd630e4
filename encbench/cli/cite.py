"""``encbench cite``: BibTeX of what a run used, and of the framework's own methods."""

from __future__ import annotations

import re
from contextlib import suppress
from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

from encbench.errors import EncbenchError, PluginError, StoreError
from encbench.plugins.registry import Offer, Registry, default_registry
from encbench.plugins.selector import parse_selector
from encbench.results.store import load_records

CITED = ("encoding", "network", "activation", "task", "metric", "optimizer")
ENCBENCH = """\
@software{{encbench,
  title = {{encbench: a benchmark suite for input encodings of coordinate networks}},
  author = {{{{The encbench authors}}}},
  version = {{{version}}}
}}"""
MPE = """\
@inproceedings{audia2025grids,
  title = {How Learnable Grids Recover Fine Detail in Low Dimensions: A Neural Tangent Kernel
           Analysis of Multigrid Parametric Encodings},
  author = {Audia, Samuel and Feizi, Soheil and Zwicker, Matthias and Manocha, Dinesh},
  booktitle = {International Conference on Learning Representations},
  year = {2025}
}"""
NTK = """\
@inproceedings{jacot2018neural,
  title = {Neural Tangent Kernel: Convergence and Generalization in Neural Networks},
  author = {Jacot, Arthur and Gabriel, Franck and Hongler, Cl{\\'e}ment},
  booktitle = {Advances in Neural Information Processing Systems},
  volume = {31},
  year = {2018}
}
@inproceedings{novak2022fast,
  title = {Fast Finite Width Neural Tangent Kernel},
  author = {Novak, Roman and Sohl-Dickstein, Jascha and Schoenholz, Samuel S.},
  booktitle = {International Conference on Machine Learning},
  year = {2022}
}"""
_SPECIAL = str.maketrans(
    {
        "\\": r"\textbackslash{}",
        "{": r"\{",
        "}": r"\}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{character: f"\\{character}" for character in "&%$#_"},
    }
)


def cite(
    what: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[DIR|NAME]…",
            help="Results folder, or encodings, networks, activations, tasks, metrics and "
            "optimizers; default: everything installed.",
        ),
    ] = None,
) -> None:
    """Print BibTeX of what a run used.

    Prints the entries of its encodings, networks, activations, tasks, metrics and optimizers, and
    of the framework's own methods. A plug-in without BibTeX is cited by its source, as @misc.

    \b
    Examples:
      encbench cite results/quick > references.bib
      encbench cite mpe hashgrid
      encbench cite
    """
    registry = default_registry()
    texts: list[str] = []
    offers: list[Offer] = []
    missing: list[str] = []
    folders = [Path(one) for one in what or () if Path(one).is_dir()]
    if not what or folders:
        texts += [ENCBENCH.format(version=metadata.version("encbench")), MPE]
    if not what:
        offers = [offer for kind in CITED for offer in registry.offers(kind)]
        texts.append(NTK)
    for folder in folders:
        methods, used, unknown = _used(folder, registry)
        texts += methods
        offers += used
        missing += unknown
    for name in what or ():
        if Path(name).is_dir():
            continue
        if "/" in name:
            raise StoreError(
                f"there is no results folder {name}; `encbench run -o {name}` makes one"
            )
        found = registry.find_any(CITED, name)
        offers += found
        missing += [f"{offer} names no source" for offer in found if not bibtex_of(offer)]
    for offer in offers:
        try:
            texts.append(bibtex_of(offer))
        except EncbenchError as error:
            missing.append(str(error))
    # an entry that several plug-ins share is printed once
    entries: dict[str, str] = {}
    for text in texts:
        entries |= {key: entry for key, entry in bibtex_entries(text).items() if key not in entries}
    # BibTeX ignores text outside of entries, up to an @
    for line in dict.fromkeys(missing):
        typer.echo(f"% {line.replace('@', '(at)')}")
    typer.echo("\n\n".join(entries.values()))


def _used(directory: Path, registry: Registry) -> tuple[list[str], list[Offer], list[str]]:
    records = [stored.record for stored in load_records(directory)]
    methods = []
    if any(record.spectra for record in records):
        methods.append(NTK)
    metrics = dict.fromkeys(name for record in records for name in record.metrics)
    wanted = {
        (kind, reference.qualified): reference.version
        for record in records
        for kind, reference in (("encoding", record.cell.encoding), ("task", record.cell.task))
    }
    offers, missing = [], []
    for (kind, name), version in wanted.items():
        try:
            offer = registry.find(kind, name)
        except EncbenchError:
            missing.append(f"{kind} {name} {version} is not installed here, so it has no entry")
            continue
        if offer.plugin.version != version:
            installed = offer.plugin.version
            missing.append(f"{kind} {name}: {version} ran, the entry is that of {installed}")
        offers.append(offer)
    offers += [offer for name, offer in registry.named("metric").items() if name in metrics]
    texts = dict.fromkeys(
        (kind, parse_selector(text)[0])
        for record in records
        for kind, text in (
            ("network", record.cell.network.kind),
            ("activation", record.activation),
            ("optimizer", record.cell.training.optimizer),
        )
        if text not in (None, "mlp")
    )
    for kind, name in texts:
        with suppress(EncbenchError):  # not installed here
            offers.append(registry.find(kind, name))
    return methods, offers, missing


def bibtex_of(offer: Offer) -> str:
    """BibTeX of a plug-in's class; "" if it names no source.

    Raises:
        PluginError: the plug-in cannot be loaded, or its BibTeX holds no entry.
    """
    cls: Any = offer.load()
    # nearest class first: a subclass with its own source must not be cited as its parent
    for base in cls.__mro__:
        bibtex, source = vars(base).get("bibtex"), vars(base).get("source")
        if bibtex is not None:
            if bibtex.strip() and not bibtex_entries(bibtex):
                raise PluginError(
                    f"{offer}: its bibtex holds no entry; expected @article{{key, …}} or the like"
                )
            return str(bibtex)
        if source:
            version = offer.plugin.version
            return entry_from_source(
                offer.kind, offer.name, offer.distribution, version, str(source)
            )
    return ""


def bibtex_entries(bibtex: str) -> dict[str, str]:
    """The BibTeX entries in a text, by key."""
    parts = re.split(r"(?m)^\s*(?=@\w+\s*\{)", bibtex.strip())
    return {
        match[1].strip(): part.strip()
        for part in parts
        if (match := re.match(r"@\w+\s*\{([^,]+),", part))
    }


def entry_from_source(kind: str, name: str, distribution: str, version: str, source: str) -> str:
    """``@misc`` entry for a plug-in whose ``source`` is plain text."""
    key = re.sub(r"[^\w-]", "-", f"{distribution}-{name}")
    return (
        f"@misc{{{key},\n"
        f"  title = {{The {kind} {name.translate(_SPECIAL)} of "
        f"{distribution.translate(_SPECIAL)} {version.translate(_SPECIAL)}}},\n"
        f"  note = {{{' '.join(source.split()).translate(_SPECIAL)}}}\n"
        "}"
    )
