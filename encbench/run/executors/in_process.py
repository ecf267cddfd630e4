"""Cells one after another, in this process."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import torch
from threadpoolctl import threadpool_limits

from encbench.plugins.registry import Registry, default_registry
from encbench.results.records import CellResult
from encbench.run.cell import run_cell
from encbench.run.executors.interface import Executor, Terms, Watch, this_process
from encbench.run.limits import Interrupted
from encbench.run.memory import held_bytes
from encbench.run.signals import Supervision
from encbench.suite.config import CellConfig

__all__ = ["InProcess"]


class InProcess(Executor):
    """The simplest executor: easy to debug, but a plug-in that crashes ends the whole run."""

    name = "in process"

    def __init__(self, terms: Terms, registry: Registry | None = None) -> None:
        super().__init__(terms)
        self._registry = registry or default_registry()
        device = torch.device(terms.device)
        self._supervision = Supervision(terms.limits, lambda: held_bytes(device))

    def run(self, cells: Sequence[CellConfig], watch: Watch) -> Generator[CellResult, None, None]:
        before = torch.get_num_threads()
        torch.set_num_threads(self.terms.threads)
        try:
            with threadpool_limits(self.terms.threads):
                for cell in cells:
                    if self.draining:
                        return
                    result = run_cell(
                        cell,
                        self._registry,
                        device=self.terms.device,
                        threads=self.terms.threads,
                        watch=watch,
                        supervision=self._supervision,
                    )
                    result.record.provenance.worker = this_process()
                    yield self.noted(result)
        finally:
            torch.set_num_threads(before)

    def interrupt(self) -> None:
        self.drain()
        self._supervision.end(Interrupted("stopped by a signal"))
