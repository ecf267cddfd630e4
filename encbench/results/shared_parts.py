"""What many records have in common, held once."""

from __future__ import annotations

from pydantic import BaseModel

from encbench.results.records import Record
from encbench.suite.config import CellConfig


class Shared:
    """Equal parts of many records as one object: a third of the memory."""

    def __init__(self) -> None:
        self._parts: dict[object, object] = {}

    def share(self, record: Record) -> Record:
        """The same record; its parts must not be changed any more."""
        cell, source = record.cell, record.provenance
        self.share_parts(cell)
        for owner, names in (
            (record, ("network", "parameters", "learning_rate", "baselines", "line_titles")),
            (source, ("libraries", "plugins", "blas", "cuda")),
            *((metric, ("details",)) for metric in record.metrics.values()),
            *((spectrum, ("method",)) for spectrum in record.spectra),
        ):
            for name in names:
                self._share(owner, name)
        models: list[BaseModel | None] = [record, cell, source, record.linearized, record.error]
        for model in (*models, *record.metrics.values(), *record.spectra):
            # of each model pydantic keeps the set of fields that were given: half of its memory,
            # and nobody asks it of a record
            if model is not None:
                given = self._parts.setdefault(type(model), model.model_fields_set)
                object.__setattr__(model, "__pydantic_fields_set__", given)
        return record

    def share_parts(self, cell: CellConfig) -> None:
        """Of a cell alone."""
        for name in ("encoding", "task", "network", "training", "ntk"):
            self._share(cell, name)

    def _share(self, owner: BaseModel, name: str) -> None:
        part = owner.__dict__[name]
        content = name, repr(getattr(part, "__dict__", part))
        owner.__dict__[name] = self._parts.setdefault(content, part)
