"""Trained networks as safetensors: written by a run, and loaded from a record."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import safetensors.torch
from safetensors import SafetensorError
from torch import Tensor, nn

from encbench.contracts.network import Network
from encbench.errors import PluginError, StoreError
from encbench.plugins.registry import Registry, default_registry
from encbench.results.provenance import distributions
from encbench.results.record_folder import WEIGHTS, record_in
from encbench.results.records import StoredRecord, damaged
from encbench.runs.parts import build_model, cell_streams

MOST_WEIGHT_BYTES = 1 << 33
"""Maximum size of a file of weights, 8 GiB."""
AGAIN = "run again with --save-weights"


def weights_of(model: nn.Module) -> bytes:
    """Serialize a model's parameters and persistent buffers as safetensors.

    Raises:
        TypeError: its state dict has a value that is not a tensor.
        ValueError: safetensors does not support a dtype.
    """
    state = model.state_dict()
    for name, value in state.items():
        if not isinstance(value, Tensor):
            raise TypeError(f"{name} of the state dict is a {type(value).__name__}, no tensor")
    # copies: safetensors does not accept tensors that share memory
    tensors = {name: value.detach().cpu().contiguous().clone() for name, value in state.items()}
    try:
        return safetensors.torch.save(tensors)
    except (KeyError, SafetensorError) as error:
        raise ValueError(f"safetensors cannot hold {error}") from error


@dataclass
class _Dimensions:
    in_dim: int
    out_dim: int


def load_model(record: StoredRecord | Path | str, *, registry: Registry | None = None) -> Network:
    """Load the trained network of a record, on the CPU, in eval mode.

    The encoding's plug-in builds it; its weights are read from ``weights.safetensors``, which
    ``encbench run --save-weights`` writes.

    Args:
        record: a record from ``Store.record``, or its folder.
        registry: plug-ins to use; default: those of this environment.

    Raises:
        StoreError: the record does not exist, or its weights are missing, damaged or do not fit.
        PluginError: a plug-in of the network, or encbench, is not installed in the same version.
    """
    stored = record if isinstance(record, StoredRecord) else record_in(Path(record).absolute())
    numbers = stored.record
    file = stored.path / WEIGHTS
    if WEIGHTS not in stored.files:
        status = "" if numbers.status == "ok" else f": its cell is {numbers.status}"
        raise StoreError(f"{stored.path} has no weights{status}; {AGAIN}")
    registry = registry or default_registry()
    _check_versions(stored, registry)
    assert numbers.in_dim is not None, "a record with weights has finished"
    assert numbers.out_dim is not None, "as above"
    task = _Dimensions(numbers.in_dim, numbers.out_dim)
    model = build_model(numbers.cell, task, registry, cell_streams(numbers.cell))
    tensors = _read(stored, file)
    if wrong := _misfits(tensors, model.state_dict()):
        raise StoreError(f"{file} does not fit the network: {wrong}; {AGAIN}")
    model.load_state_dict(tensors)
    return model.eval()


def _check_versions(stored: StoredRecord, registry: Registry) -> None:
    """Refuse other versions, whose code may give the same weights another meaning."""
    cell, then = stored.record.cell, stored.record.provenance.encbench
    encoding = cell.encoding
    offer = registry.find("encoding", encoding.qualified)
    made = {**cell.other_versions, encoding.distribution: encoding.version, "encbench": then}
    here = {plugin.distribution: plugin.version for plugin in registry.host.plugins}
    here |= {encoding.distribution: offer.plugin.version, "encbench": distributions()["encbench"]}
    for distribution, version in made.items():
        if here.get(distribution) != version:
            raise PluginError(
                f"the weights in {stored.path} are of {distribution} {version}, and "
                f"{here.get(distribution, 'none')} is installed; "
                f"pip install '{distribution}=={version}', or {AGAIN}"
            )


def _read(stored: StoredRecord, file: Path) -> dict[str, Tensor]:
    """Read the tensors, checking every byte against the manifest."""
    entry = stored.files[WEIGHTS]
    if entry.size > MOST_WEIGHT_BYTES:
        raise StoreError(f"{file} has {entry.size:,} bytes; at most {MOST_WEIGHT_BYTES:,} are read")
    try:
        with file.open("rb") as opened:
            content = opened.read(entry.size + 1)
    except OSError as error:
        raise damaged(file) from error
    if len(content) != entry.size or hashlib.sha256(content).hexdigest() != entry.sha256:
        raise damaged(file)
    try:
        tensors: dict[str, Tensor] = safetensors.torch.load(content)
    except (SafetensorError, ValueError, KeyError, RuntimeError) as error:
        raise damaged(file) from error
    return tensors


def _misfits(found: Mapping[str, Tensor], expected: Mapping[str, Tensor]) -> str:
    """Text that says what is wrong with names, shapes and dtypes; "" if nothing is."""
    wrong = [f"{name} is missing" for name in expected if name not in found]
    wrong += [f"{name} is unknown" for name in found if name not in expected]
    for name in expected.keys() & found.keys():
        pair = [(tuple(each[name].shape), each[name].dtype) for each in (found, expected)]
        if pair[0] != pair[1]:
            texts = [f"{shape} of {dtype}" for shape, dtype in pair]
            wrong.append(f"{name} is {texts[0]}, expected {texts[1]}")
    more = f" and {len(wrong) - 3} more" if len(wrong) > 3 else ""
    return ", ".join(sorted(wrong)[:3]) + more
