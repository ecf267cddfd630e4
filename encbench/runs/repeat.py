"""Run a recorded cell again, under the recorded settings."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from encbench.contracts.task import content_hash
from encbench.device import gpus, resolve_device
from encbench.errors import PluginError, UnknownNameError
from encbench.plugins.registry import Registry
from encbench.results.agreement import EnvironmentChange
from encbench.results.records import CellResult, Record
from encbench.runs.executors.local import InProcess
from encbench.runs.interface import Event, RunOptions
from encbench.suite.config import CellConfig, PluginRef
from encbench.suite.versions import other_versions


@dataclass
class Rerun:
    """How a recorded cell is run again on this machine."""

    cell: CellConfig
    """The cell with this machine's versions of plug-ins and data."""
    device: str
    threads: int
    remarks: list[str] = field(default_factory=list)
    """Differences from the recorded run, one line each."""
    environment: list[EnvironmentChange] = field(default_factory=list)
    """Differences that are not in provenances: other data."""
    same_data: bool = True
    """Whether the task's data are those of the record. If not, the result is of another cell."""


def prepare(record: Record, registry: Registry, device: str | None = None) -> Rerun:
    """Prepare a record's cell to run here, on ``device`` or, if None, the recorded kind of device.

    Raises:
        PluginError: the encoding or the task is not installed here.
        UsageError: the device does not exist here.
    """
    source = record.provenance
    then = "cpu" if source.device == "cpu" else "cuda"
    rerun = Rerun(record.cell, resolve_device(device) if device else then, source.threads)
    if device is None and then == "cuda" and not gpus():
        rerun.device = "cpu"
        rerun.remarks.append(
            f"it ran on {source.device}; torch finds no GPU here, so it runs on the CPU"
        )
    for kind, reference in (("encoding", record.cell.encoding), ("task", record.cell.task)):
        version = _installed(kind, reference, registry)
        if version != reference.version:
            here = reference.model_copy(update={"version": version})
            rerun.cell = rerun.cell.model_copy(update={kind: here})
            rerun.remarks.append(
                f"{kind} {reference.name!r} ran with {reference.distribution} "
                f"{reference.version}; it runs with {version}, which is installed here"
            )
    cell = rerun.cell
    others = other_versions(cell.encoding, cell.network, cell.training, registry)
    rerun.cell = cell.model_copy(update={"other_versions": others})
    rerun.remarks += [
        f"it ran with {name} {recorded}; it runs with {others[name]}, which is installed here"
        for name, recorded in cell.other_versions.items()
        if others.get(name, recorded) != recorded
    ]
    _compare_data(rerun, registry)
    return rerun


def run_again(
    rerun: Rerun, registry: Registry, watch: Callable[[Event], None] = lambda event: None
) -> CellResult:
    """Run the cell and return its result; failures are in its record."""
    options = RunOptions(device=rerun.device, threads=rerun.threads)
    executor = InProcess(options, registry)
    (result,) = executor.run([rerun.cell], watch)
    return result


def _installed(kind: str, reference: PluginRef, registry: Registry) -> str:
    try:
        return registry.find(kind, reference.qualified).plugin.version
    except UnknownNameError as error:
        others = [o.distribution for o in registry.offers(kind) if o.name == reference.name]
        other = f" {' and '.join(others)} offers a different one of that name." * bool(others)
        # keep only the message's note on broken plug-ins: similar names do not help
        lost = str(error).partition("A broken plug-in")
        raise PluginError(
            f"{kind} {reference.name!r} of {reference.distribution} {reference.version} is not "
            f"installed here; pip install '{reference.distribution}=={reference.version}'.{other}"
            f"{' ' + lost[1] + lost[2] if lost[1] else ''}"
        ) from None


def _compare_data(rerun: Rerun, registry: Registry) -> None:
    reference, then = rerun.cell.task, rerun.cell.data_hash
    offer = registry.find("task", reference.qualified)
    label = reference.shown
    try:
        here = content_hash(offer.load(), reference.parameters)
    except Exception as error:
        if then is None:
            return
        here = "not readable"
        remark = f"the data of {label} cannot be read here: {error}"
    else:
        if here == then:
            return
        rerun.cell = rerun.cell.model_copy(update={"data_hash": here})
        remark = f"the data of {label} have changed since; it runs on the present data"
    rerun.same_data = False
    rerun.remarks.append(remark)
    rerun.environment.append(EnvironmentChange("data (SHA-256)", then or "not readable", here))
