"""The configuration of one cell: the settings that determine its result, and nothing else.

Plain data without torch, so that a suite can be checked before heavy imports.
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
    """Settings that were added later, with their defaults; a default is not written, so that the
    keys of earlier configurations stay the same."""

    @model_serializer(mode="wrap")
    def _serialized(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        if info.exclude_unset:
            # a default that was set explicitly takes precedence over the task's setting
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
"""Settings that name a plug-in with its parameters, and the kind of plug-in."""


class NetworkConfig(Settings):
    """Settings of the network. Width and depth default to the task's (the paper's); planning sets
    them to None if the network has no such size."""

    kind: str = "mlp"
    """A name with parameters, "resmlp:skip=2", or "mlp", the coordinate MLP."""
    width: Annotated[int, Field(ge=1, description="units of a hidden layer")] | None = None
    depth: Annotated[int, Field(ge=1, description="hidden layers")] | None = None
    parameterization: Literal["ntk", "standard"] = "ntk"
    beta: Annotated[float, Field(ge=0, description="bias factor of the NTK parameterization")] = 0.1
    first_layer_scale: Literal["fan_in", "width"] = "fan_in"
    activation: str = "auto"
    """A name with parameters, as ``encbench.network.activations`` reads it, or "auto" for the one
    that the encoding expects."""
    later = {"kind": "mlp", "activation": "auto"}

    @property
    def described(self) -> str:
        """Text for pages: "hidden layers 2 × 512, ntk parameterization", or "network none"."""
        parts = [] if self.kind == "mlp" else [f"network {self.kind}"]
        if self.width is not None or self.depth is not None:
            sizes = [self.depth or "?", self.width or "?"]
            parts.append(f"hidden layers {sizes[0]} × {sizes[1]}")
            parts.append(f"{self.parameterization} parameterization")
        return ", ".join(parts)


MOST_STEPS = 10**9
"""Maximum length of training: the losses of all steps stay in memory, 4 GB."""
Length = Annotated[int, Field(ge=1, le=MOST_STEPS)]


class TrainingConfig(Settings):
    """Settings of training."""

    optimizer: str = "sgd"
    """A name with parameters, such as "adam:beta2=0.99"; "schedule" likewise."""
    schedule: str = "constant"
    lr: Annotated[float, Field(gt=0)] | Literal["auto"] = "auto"
    lr_factor: Annotated[float, Field(gt=0, description='lr = lr_factor · lr_crit at "auto"')] = 1.5
    encoding_lr_factor: Annotated[
        float, Field(gt=0, description="learning rate of the encoding / that of the network")
    ] = 1.0
    batch_size: Annotated[int, Field(ge=1)] | Literal["all"] = 256
    """Number of points per step; "all": those of an epoch."""
    epochs: Length | None = None
    steps: Length | None = None
    evaluations: Annotated[int, Field(ge=1, description="points on the quality curve")] = 32
    matmul_precision: Literal["highest", "high", "medium"] = "highest"
    """Precision of float32 matrix products in training, by torch's names: "high" allows TF32 and
    "medium" also bfloat16, on devices that support them."""
    later = {"schedule": "constant", "encoding_lr_factor": 1.0, "matmul_precision": "highest"}

    @model_validator(mode="after")
    def _one_length(self) -> TrainingConfig:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("give epochs or steps, not both")
        return self


class NtkConfig(Settings):
    """Settings of the NTK spectra computed during training."""

    points: Annotated[int, Field(ge=0)] | Literal["all"] = 1024
    """Number of points; 0 computes no spectra, "all" uses as many points as an epoch has."""
    outputs: Literal["trace", "full"] = "trace"
    split: Literal["none", "level", "feature"] = "none"
    """Whether to split the encoding's kernel by level or by feature."""
    later = {"split": "none"}


MOST_PARAMETERS = 1 << 30
"""Maximum budget: 4 GiB of weights, and as much for gradients and for each of Adam's averages."""


class BudgetConfig(Settings):
    """Quantities that are kept equal between encodings by choosing their sizes."""

    parameters: (
        Annotated[int, Field(ge=1, le=MOST_PARAMETERS, description="of encoding and network")]
        | None
    ) = None

    @field_validator("parameters", mode="before")
    @classmethod
    def _thousands(cls, value: Any) -> Any:
        """Convert "300k", "1.5M" and 3e5 to whole numbers."""
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
    """Version of the distribution; part of neither the cell's key nor its random streams."""
    parameters: dict[str, Any] = {}
    label: str | None = None

    @property
    def shown(self) -> str:
        """The label, or the name if there is none."""
        return self.label or self.name

    @property
    def qualified(self) -> str:
        """ "distribution:name", the name under which the registry finds it."""
        return f"{self.distribution}:{self.name}"

    @property
    def content(self) -> str:
        """Text that is equal for equal plug-ins and parameters, whatever the label."""
        return self.model_dump_json(exclude={"label"})


class CellConfig(Settings):
    """The complete configuration of one cell; equal configurations give equal results."""

    encoding: PluginRef
    task: PluginRef
    network: NetworkConfig
    training: TrainingConfig
    ntk: NtkConfig
    seed: int = 0
    data_hash: str | None = None
    """SHA-256 of the task's data; None if it could not be read."""
    weights_version: str | None = None
    """Version of the encoding's plug-in that the seed of the weights depends on; None in planned
    cells. In records up to schema version 2 that seed depended on the version, which is needed to
    run such a record again. Not part of the key."""
    other_versions: dict[str, str] = {}
    """Versions, by distribution, of network, activation, optimizer, schedule and the encodings that
    the encoding's parameters name, if they are not built in. Not part of the key."""
    later = {"other_versions": {}}

    def shortened(self, steps: int) -> CellConfig:
        """A copy of the cell with this number of optimizer steps, and thus another key."""
        training = self.training.model_copy(update={"steps": steps, "epochs": None})
        return self.model_copy(update={"training": training})

    @property
    def label(self) -> str:
        """The cell's name for readers, such as "image:image=cat × ffe seed 1"."""
        return self.described("")

    def described(self, settings: str) -> str:
        """The label, with a text on settings inserted after the encoding."""
        return f"{self.task.shown} × {self.encoding.shown}{settings} seed {self.seed}"

    @property
    def versions(self) -> tuple[str, ...]:
        """Versions of the encoding's and the task's plug-in, then of others, as "theirs 1.0"."""
        others = (f"{name} {version}" for name, version in sorted(self.other_versions.items()))
        return self.encoding.version, self.task.version, *others


def changed_versions(versions: tuple[str, ...], cell: CellConfig) -> set[str]:
    """Plug-ins of a cell whose version differs from ``versions``, the ``CellConfig.versions`` of
    the cell before, as "theirs 1.0 instead of 2.0"."""
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
    """Hash of the whole configuration except labels and versions of plug-ins."""
    text = _KEY_TEXT % tuple(map(_canonical, _parts(cell)))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


# Thousands of cells share a few settings.
@lru_cache(maxsize=1024)
def settings_of(
    network: NetworkConfig, training: TrainingConfig, ntk: NtkConfig
) -> Mapping[str, Any]:
    """Settings in effect, by names such as "training.lr"; those that are None are left out."""
    sections = {"network": network, "training": training, "ntk": ntk}
    settings = dotted({name: dict(section) for name, section in sections.items()})
    if training.lr != "auto":
        del settings["training.lr_factor"]
    return settings


def dotted(tables: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """Values of several tables by "table.key"; those that are None are left out."""
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
    """JSON text that is equal for equal data, whatever the order of keys."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)


_texts: dict[int, tuple[Settings | str | int | None, str]] = {}
"""Cache of the JSON text of parts of cells, by id; thousands of cells share the same parts."""


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
