"""What one cell is made of: the settings that decide its result, and nothing else.

Plain data, free of torch, so that a suite can be checked before anything heavy is loaded.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    field_validator,
    model_serializer,
    model_validator,
)


class Settings(BaseModel):
    """Base of all settings: unknown keys are errors, values are not coerced silently."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True, allow_inf_nan=False)
    later: ClassVar[Mapping[str, Any]] = {}
    """Settings that there were not at first, each with the value at which it is left out of what
    is written, so that keys of configurations without it stay what they were."""

    @model_serializer(mode="wrap")
    def _serialized(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        if info.exclude_unset:
            # set outright, a default takes precedence over a task's own
            return written
        return {k: v for k, v in written.items() if (k, v) not in self.later.items()}


SECTIONS = ("network", "training", "ntk", "budget")
"""Tables of settings in a suite."""
PLUGGED = {
    "network.kind": "network",
    "network.activation": "activation",
    "training.optimizer": "optimizer",
    "training.schedule": "schedule",
}
"""Settings that name a plug-in with its parameters, and its kind."""


class NetworkConfig(Settings):
    """The network. Width and depth default to the task's own (the paper's), and are None where
    planning finds that the network has no such size."""

    kind: str = "mlp"
    """A name with parameters, "resmlp:skip=2", or "mlp", the coordinate MLP."""
    width: Annotated[int, Field(ge=1, description="units of a hidden layer")] | None = None
    depth: Annotated[int, Field(ge=1, description="hidden layers")] | None = None
    parameterization: Literal["ntk", "standard"] = "ntk"
    beta: Annotated[float, Field(ge=0, description="bias factor of the NTK parameterization")] = 0.1
    first_layer_scale: Literal["fan_in", "width"] = "fan_in"
    activation: str = "auto"
    """A name with parameters, as ``encbench.network.activations`` reads it, or "auto", what the
    encoding expects."""
    later = {"kind": "mlp", "activation": "auto"}

    @property
    def described(self) -> str:
        """ "hidden layers 2 × 512, ntk parameterization", "network none": what pages say of it."""
        parts = [] if self.kind == "mlp" else [f"network {self.kind}"]
        if self.width is not None or self.depth is not None:
            sizes = [self.depth or "?", self.width or "?"]
            parts.append(f"hidden layers {sizes[0]} × {sizes[1]}")
            parts.append(f"{self.parameterization} parameterization")
        return ", ".join(parts)


class TrainingConfig(Settings):
    """How the network learns."""

    optimizer: str = "sgd"
    """A name with parameters, such as "adam:beta2=0.99"; "schedule" likewise."""
    schedule: str = "constant"
    lr: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    lr_factor: Annotated[float, Field(gt=0, description='lr = lr_factor · lr_crit at "auto"')] = 1.5
    encoding_lr_factor: Annotated[
        float, Field(gt=0, description="rate of the encoding's parameters, in rates of the network")
    ] = 1.0
    batch_size: Annotated[int, Field(ge=1)] | Literal["all"] = 256
    """Points of a step; "all": those of an epoch."""
    epochs: Annotated[int, Field(ge=1)] | None = None
    steps: Annotated[int, Field(ge=1)] | None = None
    evaluations: Annotated[int, Field(ge=1, description="points on the quality curve")] = 32
    matmul_precision: Literal["highest", "high", "medium"] = "highest"
    """Of float32 matrix products in training, by torch's names: "high" allows TF32, "medium"
    bfloat16 as well, on devices that have them."""
    later = {"schedule": "constant", "encoding_lr_factor": 1.0, "matmul_precision": "highest"}

    @model_validator(mode="after")
    def _one_length(self) -> TrainingConfig:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give epochs or steps, not both")
        return self


class NtkConfig(Settings):
    """The NTK spectra taken during training."""

    points: Annotated[int, Field(ge=0)] | Literal["all"] = 1024
    """0 takes no spectra; "all" takes as many points as an epoch has."""
    outputs: Literal["trace", "full"] = "trace"
    split: Literal["none", "level", "feature"] = "none"
    """Whether each level of the encoding, or each feature, is told apart in the kernel."""
    later = {"split": "none"}


MOST_PARAMETERS = 1 << 30
"""Of a budget: 4 GiB of weights, and as much again for gradients and each of Adam's averages."""


class BudgetConfig(Settings):
    """What is held equal between encodings, by choosing their sizes."""

    parameters: (
        Annotated[int, Field(ge=1, le=MOST_PARAMETERS, description="of encoding and network")]
        | None
    ) = None

    @field_validator("parameters", mode="before")
    @classmethod
    def _thousands(cls, value: Any) -> Any:
        """ "300k", "1.5M" and 3e5 as whole numbers."""
        if isinstance(value, float) and value.is_integer():
            return int(value)
        found = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)([kM])", str(value))
        if found:
            return round(float(found[1]) * {"k": 1e3, "M": 1e6}[found[2]])
        if isinstance(value, str):
            raise ValueError("expected a whole number, or one like 300k or 1.5M")
        return value


class PluginRef(Settings):
    """An encoding or a task with all its parameters, defaults included."""

    name: str
    distribution: str
    version: str
    """Of the distribution. Not part of the cell's key, nor of its random streams."""
    parameters: dict[str, Any] = {}
    label: str | None = None

    @property
    def shown(self) -> str:
        """Its label, or its name."""
        return self.label or self.name

    @property
    def qualified(self) -> str:
        """ "distribution:name", by which the registry finds it."""
        return f"{self.distribution}:{self.name}"


class CellConfig(Settings):
    """One cell of the cross product, complete: the same configuration gives the same result."""

    encoding: PluginRef
    task: PluginRef
    network: NetworkConfig
    training: TrainingConfig
    ntk: NtkConfig
    seed: int = 0
    data_hash: str | None = None
    """SHA-256 of the task's data; None where it could not be read."""
    weights_version: str | None = None
    """Version of the encoding's plug-in that the seed of the weights depends on. None in every
    cell that is planned; in records up to schema version 2 that seed did depend on the version,
    and running such a record again needs it. Not part of the key."""
    other_versions: dict[str, str] = {}
    """Versions by distribution of other people's network, activation, optimizer and schedule. Not
    part of the key."""
    later = {"other_versions": {}}

    def shortened(self, steps: int) -> CellConfig:
        """The cell with so many optimizer steps: another cell, of another key."""
        training = self.training.model_copy(update={"steps": steps, "epochs": None})
        return self.model_copy(update={"training": training})

    @property
    def label(self) -> str:
        """ "image:image=cat × ffe seed 1": what a person calls this cell."""
        return self.described("")

    def described(self, settings: str) -> str:
        """The label, with some settings named behind the encoding."""
        return f"{self.task.shown} × {self.encoding.shown}{settings} seed {self.seed}"

    @property
    def versions(self) -> tuple[str, ...]:
        """Of the plug-ins of the encoding and of the task, and of others: "theirs 1.0"."""
        others = (f"{name} {version}" for name, version in sorted(self.other_versions.items()))
        return self.encoding.version, self.task.version, *others


def changed_versions(versions: tuple[str, ...], cell: CellConfig) -> set[str]:
    """Plug-ins that a cell has in other versions than ``versions``, those of another configuration
    of it, in words."""
    known = dict(other.split(" ", 1) for other in versions[2:])
    refs = zip((cell.encoding, cell.task), versions[:2], strict=True)
    pairs = [(ref.distribution, version, ref.version) for ref, version in refs]
    for name, version in cell.other_versions.items():
        pairs.append((name, known.get(name, "of unknown version"), version))
    return {f"{name} {a} instead of {b}" for name, a, b in pairs if a != b}


_KEYED = sorted(CellConfig.model_fields.keys() - {"weights_version", "other_versions"})
_parts = attrgetter(*_KEYED)
_KEY_TEXT = "{" + ",".join(f'"{name}":%s' for name in _KEYED) + "}"


def cell_key(cell: CellConfig) -> str:
    """Hash of what was asked for: the whole cell, but labels and versions of plug-ins."""
    text = _KEY_TEXT % tuple(map(_canonical, _parts(cell)))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


# Few settings are shared by thousands of cells.
@lru_cache(maxsize=1024)
def settings_of(
    network: NetworkConfig, training: TrainingConfig, ntk: NtkConfig
) -> Mapping[str, Any]:
    """Settings in effect, as "training.lr"; without those that are left open."""
    sections = {"network": network, "training": training, "ntk": ntk}
    settings = dotted({name: dict(section) for name, section in sections.items()})
    if training.lr != "auto":
        del settings["training.lr_factor"]
    return settings


def dotted(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Values of several tables as "table.key"; without those that are None."""
    return {
        f"{name}.{key}": value
        for name, table in tables.items()
        for key, value in table.items()
        if value is not None
    }


def differing(settings: Iterable[Mapping[str, Any]]) -> list[str]:
    """Keys, in order of appearance, whose values are not the same in all the mappings."""
    rows = list(settings)
    keys = dict.fromkeys(key for row in rows for key in row)
    return [key for key in keys if len({sorted_json(row.get(key)) for row in rows}) > 1]


def sorted_json(value: Any) -> str:
    """Text that is equal for equal plain data, whatever the order of its keys."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


_texts: dict[int, tuple[Settings | str | int | None, str]] = {}
"""By id, parts of cells and their text: thousands of cells of a suite share theirs."""


def _canonical(part: Settings | str | int | None) -> str:
    known = _texts.get(id(part))
    if known is None or known[0] is not part:
        content: Any = part
        if isinstance(part, Settings):
            content = part.model_dump(mode="json", exclude={"label", "version"})
        if len(_texts) >= 4096:
            _texts.clear()
        known = _texts[id(part)] = part, json.dumps(content, sort_keys=True, separators=(",", ":"))
    return known[1]
