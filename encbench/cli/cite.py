"""``encbench cite``: BibTeX of what a run used."""

from __future__ import annotations

from importlib import metadata
from pathlib import Path
from typing import Annotated, Any

import typer

import encbench
from encbench.cli.bibliography import ENCBENCH, MPE, MS_SSIM, NTK, entries_of, from_source
from encbench.errors import EncbenchError, PluginError, StoreError
from encbench.plugins.registry import Offer, Registry, default_registry


def cite(
    directory: Annotated[
        Path | None,
        typer.Argument(
            metavar="DIR",
            help="Results folder; everything that is installed unless given.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Print BibTeX of what a run used.

    Of its encodings, tasks and metrics, and of the framework's own methods. A plug-in without
    BibTeX is cited by its source, as @misc.

    \b
    Examples:
      encbench cite results/quick > references.bib
      encbench cite
    """
    registry = default_registry()
    texts = [ENCBENCH.format(version=metadata.version("encbench")), MPE]
    if directory is None:
        offers = [o for kind in ("encoding", "task", "metric") for o in registry.offers(kind)]
        texts += [NTK, MS_SSIM]
        missing: list[str] = []
    else:
        methods, offers, missing = _used(directory, registry)
        texts += methods
    for offer in offers:
        try:
            texts.append(bibtex_of(offer))
        except EncbenchError as error:
            missing.append(str(error))
    # an entry that several share is printed once
    entries: dict[str, str] = {}
    for text in texts:
        entries |= {key: entry for key, entry in entries_of(text).items() if key not in entries}
    # BibTeX skips what stands outside of entries
    for line in dict.fromkeys(missing):
        typer.echo(f"% {line.replace('@', '(at)')}")
    typer.echo("\n\n".join(entries.values()))


def _used(directory: Path, registry: Registry) -> tuple[list[str], list[Offer], list[str]]:
    records = [stored.record for stored in encbench.Store(directory).records()]
    if not records:
        raise StoreError(f"{directory} holds no records; `encbench run -o {directory}` makes some")
    methods = []
    if any(record.spectra for record in records):
        methods.append(NTK)
    metrics = dict.fromkeys(name for record in records for name in record.metrics)
    if any("ms_ssim" in name for name in metrics):
        methods.append(MS_SSIM)
    wanted = {
        (kind, f"{reference.distribution}:{reference.name}"): reference.version
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
            missing.append(f"{kind} {name}: {version} ran, the entry is of {offer.plugin.version}")
        offers.append(offer)
    offers += [offer for offer in registry.offers("metric") if offer.name in metrics]
    return methods, offers, missing


def bibtex_of(offer: Offer) -> str:
    """BibTeX of a plug-in's class, "" where it names no source.

    Raises:
        PluginError: it cannot be loaded, or its BibTeX holds no entry.
    """
    cls: Any = offer.load()
    # nearest first: a subclass that names another source must not be cited as its parent
    for base in cls.__mro__:
        bibtex, source = vars(base).get("bibtex"), vars(base).get("source")
        if bibtex is not None:
            if bibtex.strip() and not entries_of(bibtex):
                raise PluginError(
                    f"{offer}: its bibtex holds no entry; expected @article{{key, …}} or the like"
                )
            return str(bibtex)
        if source:
            version = offer.plugin.version
            return from_source(offer.kind, offer.name, offer.distribution, version, str(source))
    return ""
