"""Cells one after another, in this process."""

from __future__ import annotations

from collections.abc import Generator, Sequence

import torch
from threadpoolctl import threadpool_limits

from encbench.plugins.registry import Registry, default_registry
from encbench.results.records import CellResult
from encbench.run.cell import run_cell
from encbench.run.interface import Executor, RunOptions, Watch, this_process
from encbench.run.limits import Interrupted
from encbench.run.memory import held_bytes
from encbench.run.signals import Supervision
from encbench.suite.config import CellConfig


class InProcess(Executor):
    """The simplest executor: easy to debug, but a plug-in that crashes ends the whole run."""

    name = "in process"

    def __init__(self, options: RunOptions, registry: Registry | None = None) -> None:
        super().__init__(options)
        self._registry = registry or default_registry()
        device = torch.device(options.device)
        self._supervision = Supervision(options.limits, lambda: held_bytes(device))

    def run(self, cells: Sequence[CellConfig], watch: Watch) -> Generator[CellResult, None, None]:
        before = torch.get_num_threads()
        torch.set_num_threads(self.options.threads)
        try:
            with threadpool_limits(self.options.threads):
                for cell in cells:
                    if self.draining:
                        return
                    result = run_cell(
                        cell,
                        self._registry,
                        device=self.options.device,
                        threads=self.options.threads,
                        watch=watch,
                        supervision=self._supervision,
                    )
                    result.record.provenance.worker = this_process()
                    yield self.with_provenance(result)
        finally:
            torch.set_num_threads(before)

    def interrupt(self) -> None:
        self.drain()
        self._supervision.end(Interrupted("stopped by a signal"))
