"""A suite: the encodings, tasks, seeds and settings that a run crosses."""

from __future__ import annotations

import itertools
import math
import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import tomli_w
from pydantic import (
    Field,
    PrivateAttr,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    ValidationError,
    field_validator,
    model_serializer,
    model_validator,
)
from pydantic.functional_validators import ModelWrapValidatorHandler

from encbench.errors import SuiteError, UsageError, did_you_mean
from encbench.plugins.registry import Registry, default_registry
from encbench.plugins.selector import check_label, format_selector, parse_selector, split_label
from encbench.suite.config import (
    PLUGGED,
    SECTIONS,
    BudgetConfig,
    NetworkConfig,
    NtkConfig,
    Settings,
    TrainingConfig,
)
from encbench.suite.messages import describe_error
from encbench.suite.sweep import SWEEP, each_choice, sweeps_of

DEFAULT_SUITE = "quick"
MOST_BYTES = 1 << 24
MOST_CELLS = 2_000_000
"""Maximum number of cells of a suite; planning takes some kB of memory for each."""
LENGTHS = frozenset({"epochs", "steps"})
"""The two settings of the length of training; setting one unsets the other."""


def entries(value: Any) -> Any:
    """Parse entries written as text; anything else is left to validation."""
    if not isinstance(value, list):
        return value
    return [_entry(item) if isinstance(item, str) else item for item in value]


def _entry(text: str) -> dict[str, Any]:
    selector, label = split_label(text)
    check_label(text, selector)
    name, parameters = parse_selector(selector)
    return {"name": name, "parameters": parameters} | ({"label": label} if label else {})


class SuiteEntry(Settings):
    """One encoding or task of a suite, optionally with settings of its own.

    In a suite file it is either text, ``"ffe:levels=8"`` or ``"ffe:levels=8 as FFE"``, or a table.
    A parameter or a setting can be a sweep, see ``encbench.suite.sweep``.
    """

    name: str
    parameters: dict[str, Any] = {}
    label: str | None = None
    network: dict[str, Any] = {}
    """Overrides of the suite's network settings, for this entry alone."""
    training: dict[str, Any] = {}
    """Overrides of the suite's training settings, for this entry alone."""
    encodings: Annotated[list[SuiteEntry], Field(min_length=1)] | None = None
    """A task's encodings, if not the suite's: a solid needs other grids than a photograph."""

    @field_validator("label")
    @classmethod
    def _one_line(cls, value: str | None) -> str | None:
        if value is not None and not (value.strip() and value.isprintable()):
            raise ValueError("a label is one line of printable characters, and not empty")
        return value

    @field_validator("parameters", "network", "training")
    @classmethod
    def _whole_sweeps(cls, value: dict[str, Any]) -> dict[str, Any]:
        sweeps_of(value)
        return value

    @field_validator("encodings", mode="before")
    @classmethod
    def _from_texts(cls, value: Any) -> Any:
        return entries(value)

    @classmethod
    def from_text(cls, text: str) -> SuiteEntry:
        return cls(**_entry(text))

    def each(self) -> Iterator[SuiteEntry]:
        """Yield the entry with each combination of the values of its sweeps."""
        tables = {name: getattr(self, name) for name in ("parameters", "network", "training")}
        for values in itertools.product(*map(each_choice, tables.values())):
            yield self.model_copy(update=dict(zip(tables, values, strict=True)))

    @property
    def count(self) -> int:
        """Number of entries that ``each`` yields."""
        tables = (self.parameters, self.network, self.training)
        return math.prod(len(values) for table in tables for values in sweeps_of(table).values())

    @property
    def text(self) -> str:
        return self.label or format_selector(self.name, self.parameters)


class Suite(Settings):
    """The encodings, tasks, seeds and settings to run. See docs/suites.md for the file format.

    A setting of one of the ``SECTIONS`` can be a sweep, see ``encbench.suite.sweep``.
    """

    name: str = "custom"
    description: str = ""
    encodings: Annotated[list[SuiteEntry], Field(min_length=1)]
    tasks: Annotated[list[SuiteEntry], Field(min_length=1)]
    seeds: Annotated[list[Annotated[int, Field(strict=True)]], Field(min_length=1)] = [0]
    network: NetworkConfig = NetworkConfig()
    training: TrainingConfig = TrainingConfig()
    ntk: NtkConfig = NtkConfig()
    budget: BudgetConfig = BudgetConfig()
    _sweeps: dict[str, dict[str, list[Any]]] = PrivateAttr(default_factory=dict)
    """Swept settings by section; the section itself holds the first value of each."""
    _tasks_of: str | None = PrivateAttr(default=None)
    """Name of the suite that the tasks are from, if only the encodings were given."""
    _path: Path | None = PrivateAttr(default=None)
    """The file that the suite is read from, unless the command line changes it."""

    def __eq__(self, other: object) -> bool:
        """Whether the contents are equal, from whatever files."""
        if isinstance(other, Suite):
            other = other.model_copy()
            other._path = self._path
        return super().__eq__(other)

    @property
    def note(self) -> str:
        """The end of a message on a task that no one asked for by name; "" for other tasks."""
        if self._tasks_of is None:
            return ""
        return f" (the tasks are those of the suite {self._tasks_of!r}; -t takes others)"

    @contextmanager
    def named_errors(self) -> Iterator[None]:
        """Put the file's name, if there is one, before the message of a UsageError."""
        try:
            yield
        except UsageError as error:
            if self._path is not None:  # its class and what caused it stay the same
                error.args = (f"{self._path}: {error}",)
            raise

    def check_size(self) -> None:
        """Refuse a suite of too many cells, before any of them is made.

        Raises:
            SuiteError: it has more than ``MOST_CELLS``, counting one target per task.
        """
        pairs = sum(
            task.count * entry.count
            for task in self.tasks
            for entry in task.encodings or self.encodings
        )
        sweeps = [values for swept in self._sweeps.values() for values in swept.values()]
        cells = pairs * math.prod(map(len, sweeps)) * len(self.seeds)
        if cells > MOST_CELLS:
            raise SuiteError(
                f"{cells:,} cells, at most {MOST_CELLS:,} are planned; sweep over fewer values, "
                "or split the suite"
            )

    def settings(self) -> list[tuple[NetworkConfig, TrainingConfig, NtkConfig, BudgetConfig]]:
        """Each combination of the values of the suite's own sweeps."""
        sections = []
        for name in SECTIONS:
            section, sweeps = getattr(self, name), self._sweeps.get(name, {})
            asked = {key: getattr(section, key) for key in section.model_fields_set}
            chosen = each_choice(asked | _written(sweeps))
            sections.append([type(section).model_validate(values) for values in chosen])
        return list(itertools.product(*sections))

    @model_validator(mode="wrap")
    @classmethod
    def _with_sweeps(cls, data: Any, handler: ModelWrapValidatorHandler[Suite]) -> Suite:
        if not isinstance(data, dict):
            return handler(data)
        tables = {name: data[name] for name in SECTIONS if isinstance(data.get(name), dict)}
        sweeps = {}
        for name, table in tables.items():
            try:
                sweeps[name] = sweeps_of(table)
            except ValueError as error:
                raise ValueError(f"{name}.{error}") from None
        first = {
            name: table | {key: values[0] for key, values in sweeps[name].items()}
            for name, table in tables.items()
        }
        suite = handler(data | first)
        for name, swept in sweeps.items():
            for key, values in swept.items():
                for value in values[1:]:
                    handler(data | first | {name: first[name] | {key: value}})
        suite._sweeps = {name: swept for name, swept in sweeps.items() if swept}
        return suite

    @model_serializer(mode="wrap")
    def _serialized(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        written: dict[str, Any] = handler(self)
        for name, swept in self._sweeps.items():
            written[name] = written.get(name, {}) | _written(swept)
        return written

    def as_asked(self) -> dict[str, Any]:
        """The suite's name and the settings that were set, in types of JSON.

        Planning it again gives the same cells. With defaults filled in it would not, because the
        suite's settings take precedence over the task's.
        """
        return {"name": self.name, **self.model_dump(mode="json", exclude_unset=True)}

    @field_validator("name")
    @classmethod
    def _names_a_folder(cls, value: str) -> str:
        if not value or not value.isprintable() or Path(value).name != value or value == "..":
            raise ValueError("must be one line without /, since the results folder gets this name")
        return value

    @field_validator("encodings", "tasks", mode="before")
    @classmethod
    def _entries(cls, value: Any) -> Any:
        return entries(value)

    @field_validator("encodings")
    @classmethod
    def _no_nesting(cls, value: list[SuiteEntry]) -> list[SuiteEntry]:
        for entry in value:
            if entry.encodings is not None:
                raise ValueError(f"{entry.text!r} is an encoding; only a task has encodings")
        return value


def _written(sweeps: Mapping[str, list[Any]]) -> dict[str, Any]:
    return {key: {SWEEP: values} for key, values in sweeps.items()}


def load_suite(source: str, registry: Registry | None = None) -> Suite:
    """Load a suite from a TOML file, or a packaged one by its name.

    Args:
        source: the file or the name.
        registry: plug-ins that may offer it; default: those of this environment.

    Raises:
        SuiteError: there is no such file or name, it is not TOML, or a key or value is invalid.
    """
    registry = registry or default_registry()
    offers = registry.offers("suite")
    packaged = dict.fromkeys(offer.name for offer in offers)
    known = source in packaged or source in [f"{o.distribution}:{o.name}" for o in offers]
    path = Path(registry.find("suite", source).target if known else source)
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
        # editors on Windows write a byte order mark
        text = content.decode("utf-8-sig")
    except OSError as error:
        raise SuiteError(
            f"no suite {source!r} ({error.strerror})"
            + did_you_mean(
                source,
                packaged,
                f"packaged suites: {', '.join(packaged) or 'none'}; or give the path of a TOML "
                "file",
            )
        ) from None
    except UnicodeDecodeError:
        raise SuiteError(f"{path} is not a text file; a suite is TOML") from None
    if len(content) > MOST_BYTES:
        raise SuiteError(f"{path} has more than {MOST_BYTES >> 20} MiB; a suite is a short text")
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SuiteError(f"{path} is not TOML: {error}") from None
    except ValueError:
        raise SuiteError(f"{path} has an integer of too many digits for any setting") from None
    except RecursionError:
        raise SuiteError(f"{path} is nested too deeply; a suite has tables of settings") from None
    data.setdefault("name", path.stem)
    try:
        suite = Suite.model_validate(data)
    except ValidationError as error:
        raise SuiteError(f"{path}: {describe_error(error, Suite)}") from None
    except UsageError as error:
        raise SuiteError(f"{path}: {error}") from None
    suite._path = path
    return suite


def override(
    source: Suite | str | None,
    changes: Mapping[str, Mapping[str, Any]],
    registry: Registry | None = None,
    *,
    encodings: list[Any] | None = None,
    tasks: list[Any] | None = None,
    seeds: list[int] | None = None,
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
) -> Suite:
    """A suite with the changes of the command line.

    The default suite with other encodings or tasks is named "custom".

    Args:
        source: the suite to change, or its source for ``load_suite``; None: ``DEFAULT_SUITE``.
        changes: settings by section.
        registry: plug-ins that may offer the suite; default: those of this environment.
        encodings: replace the suite's; each as in a suite file.
        tasks: replace the suite's; each as in a suite file.
        seeds: replace the suite's.
        parameters: by name of an encoding or task, parameters of each entry of that name; by name
            of a network, activation, optimizer or schedule, those of each setting that names it.

    Raises:
        UsageError: there is no such suite, or a value is invalid; the message says which.
    """
    suite = (
        source
        if isinstance(source, Suite)
        else load_suite(DEFAULT_SUITE if source is None else source, registry)
    )
    asked = suite.name
    if source is None and (encodings or tasks):
        suite = suite.model_copy(update={"name": "custom", "description": ""})
    data = suite.model_dump(exclude_unset=True)
    inner = [item for entry in data["tasks"] for item in entry.get("encodings") or []]
    for section, values in changes.items():
        if not values:
            continue
        # the command line also overrides entries; epochs and steps replace each other
        replaced = values.keys() | (LENGTHS if LENGTHS & values.keys() else set())
        for entry in (*data["encodings"], *data["tasks"], *inner):
            for key in replaced & entry.get(section, {}).keys():
                del entry[section][key]
        current = data.get(section, {})
        data[section] = {k: v for k, v in current.items() if k not in replaced} | dict(values)
    if encodings:
        # given explicitly, they apply to every task
        for entry in data["tasks"]:
            entry.pop("encodings", None)
        data["encodings"] = entries(encodings)
    if tasks:
        data["tasks"] = entries(tasks)
    for name, given in (parameters or {}).items():
        _set_parameters(data, name, given)
    if seeds and seeds != suite.seeds:
        data["seeds"] = list(dict.fromkeys(seeds))
    try:
        changed = Suite.model_validate(data)
    except ValidationError as error:
        raise SuiteError(describe_error(error, Suite)) from None
    # a setting that equals its default counts: it takes precedence over the task's own
    if changed.as_asked() == suite.as_asked():
        return suite
    # the description is that of the suite without the changes
    changed = changed.model_copy(update={"description": ""})
    changed._tasks_of = asked if encodings and not tasks else None
    return changed


def _set_parameters(data: dict[str, Any], name: str, values: Mapping[str, Any]) -> None:
    """Set these parameters in every entry with this name, or in every setting that names it, and
    merge entries that become equal."""
    lists = [(data, "encodings"), (data, "tasks")]
    lists += [(entry, "encodings") for entry in data["tasks"] if entry.get("encodings")]
    known = dict.fromkeys(entry["name"] for holder, key in lists for entry in holder[key])
    if name not in known:
        tables = (data, *(entry for holder, key in lists for entry in holder[key]))
        settings = [
            (table[section], key)
            for table in tables
            for section, key in (setting.split(".") for setting in PLUGGED)
            if isinstance(text := table.get(section, {}).get(key), str)
            and parse_selector(text)[0] == name
        ]
        try:
            chosen = list(each_choice(values))
        except ValueError as error:
            raise SuiteError(f"--sweep {name}.{error}") from None
        for table, key in settings:
            given = parse_selector(table[key])[1]
            table[key] = {SWEEP: [format_selector(name, {**given, **one}) for one in chosen]}
        if settings:
            return
        names = (*SECTIONS, *known)
        hint = did_you_mean(name, names, f"known here: {', '.join(names)}")
        raise SuiteError(
            f"--sweep {name}.{next(iter(values))}: {name!r} is not a section, encoding or task of "
            "this suite, nor a network, activation, optimizer or schedule that it sets" + hint
        )
    for holder, key in lists:
        changed: list[dict[str, Any]] = []
        for entry in holder[key]:
            if entry["name"] == name:
                entry = entry | {"parameters": {**entry.get("parameters", {}), **values}}
            if entry["name"] != name or entry not in changed:
                changed.append(entry)
        holder[key] = changed


def explicit_settings(suite: Mapping[str, Any]) -> dict[str, Any]:
    """Remove the defaults from a suite that was stored with all of them filled in.

    Which of them had been set is unknown; they are taken as unset, as they nearly always were.
    """
    try:
        valid = Suite.model_validate(suite)
    except ValidationError:
        return dict(suite)
    return {"name": valid.name, **valid.model_dump(mode="json", exclude_defaults=True)}


def suite_toml(suite: Mapping[str, Any]) -> str:
    """The text of a suite file.

    Args:
        suite: as returned by ``Suite.as_asked``; values that are None are left out.
    """
    written = _without_none(suite)
    for kind in ("encodings", "tasks"):
        if kind in written:
            written[kind] = [_brief(entry) for entry in written[kind]]
    text = tomli_w.dumps(written)
    # put each array on one line; in strings line breaks are escaped
    for broken, joined in ((r",\n\s*]", "]"), (r"\[\n\s+", "["), (r",\n +", ", ")):
        text = re.sub(broken, joined, text)
    return text


def _without_none(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_none(v) for k, v in value.items() if v is not None}
    return [_without_none(item) for item in value] if isinstance(value, list | tuple) else value


def _brief(entry: Any) -> Any:
    """An entry without empty tables; only its name if nothing else was set."""
    if not isinstance(entry, Mapping):
        return entry
    given = {key: value for key, value in entry.items() if value != {}}
    if "encodings" in given:
        given["encodings"] = [_brief(inner) for inner in given["encodings"]]
    return given["name"] if set(given) == {"name"} else given
