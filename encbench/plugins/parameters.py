"""The parameters of an encoding or task: the typed keywords of its ``__init__``.

Types, bounds, defaults and descriptions come from the signature; pydantic validates values.
"""

from __future__ import annotations

import inspect
import json
import re
import typing
from copy import deepcopy
from dataclasses import dataclass
from enum import Enum
from functools import cached_property, lru_cache
from typing import Annotated, Any

from pydantic import ConfigDict, Field, PydanticUserError, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo
from pydantic_core import ErrorDetails

from encbench.contracts.search import Search
from encbench.errors import ParameterError, PluginError, did_you_mean, error_line

Positive = Annotated[float, Field(ge=1e-6, le=1e6)]
"""Type of frequencies, widths and the like. Outside this range, initial weights, values or
gradients overflow or vanish in float32."""
NotNegative = Annotated[float, Field(ge=0, le=1e6)]
InitialValue = Annotated[float, Field(ge=-1000, le=1000)]
"""Type of initial table values: products of six of them and their derivatives are finite in
float32."""
InitialSpread = Annotated[float, Field(ge=0, le=1000)]
LARGEST_SIZE = 2**31 - 1
"""Maximum of integer parameters of encodings, activations and networks, which are sizes; integers
of tasks, such as seeds, may be larger."""


@dataclass(frozen=True)
class Parameter:
    """One parameter, with the fields that ``encbench list`` shows."""

    name: str
    type: str
    default: Any
    """A copy; ``inspect.Parameter.empty`` if the parameter is required."""
    description: str
    annotation: Any
    search: Search | None = None
    """Search range of ``encbench tune``; None if the parameter is not tuned."""

    @property
    def whole(self) -> bool:
        """Whether its numbers are integers."""
        kinds = _kinds(self.annotation)
        return int in kinds and float not in kinds

    @property
    def choices(self) -> list[str]:
        """The texts of its ``Literal`` type, sorted; empty if it has none."""
        return sorted(kind for kind in _kinds(self.annotation) if isinstance(kind, str))

    @property
    def _may_be_none(self) -> bool:
        return type(None) in _kinds(self.annotation)

    @property
    def required(self) -> bool:
        return self.default is inspect.Parameter.empty

    @cached_property
    def _adapter(self) -> TypeAdapter[Any]:
        return TypeAdapter(self.annotation, config=ConfigDict(allow_inf_nan=False))

    def validate(self, given: Any) -> Any:
        """The value converted to the parameter's type.

        Raises:
            ValueError: it has another type or is out of range.
        """
        try:
            value = self._adapter.validate_python(given)
        except PydanticUserError:  # a type with a configuration of its own
            raise ValueError(
                f"a parameter cannot be of type {self.type}; make the fields of {self.type} "
                "parameters, or take a dict"
            ) from None
        except ValidationError as error:
            # neither the command line nor TOML has another way to write it
            if isinstance(given, str) and given.lower() == "none" and self._may_be_none:
                return None
            first = error.errors()[0]
            literal = first["type"] == "literal_error"
            reason = "there is no such choice" if literal else plain_reason(first)
            place = next(iter(first["loc"]), None)
            if isinstance(place, int) and first["type"] != "missing":
                reason = reason.replace("it must", f"its item {place + 1} must")
            if isinstance(given, int | float) and self.type.split(" | ")[0] == "str":
                # a file name such as 2024 is parsed as a number
                reason += f' (to mean the text, quote it: {self.name}="{json.dumps(given)}")'
            raise ValueError(reason) from None
        try:
            json.dumps(value, ensure_ascii=False, default=str).encode()
        except UnicodeEncodeError:
            raise ValueError("it is not UTF-8 and cannot be recorded; rename the file") from None
        if _bool_as_number(given, value):
            raise ValueError("booleans are not numbers")
        return value


def _bool_as_number(given: Any, value: Any) -> bool:
    """Whether pydantic has accepted true as 1, also in a list or table."""
    if isinstance(given, list | tuple) and isinstance(value, list | tuple):
        return any(map(_bool_as_number, given, value))
    if isinstance(given, dict) and isinstance(value, dict):
        return any(_bool_as_number(given[key], value.get(key)) for key in given)
    return isinstance(given, bool) and isinstance(value, int | float) and value is not given


_WORDS = {
    "boolean": "true or false",
    "dictionary": "a table",
    "integer": "an integer",
    "string": "a text",
    "tuple": "a list",
}
"""pydantic's names of types to those of TOML."""


def plain_reason(problem: ErrorDetails) -> str:
    """A pydantic error in plain words, such as "it must have at least 1 item"."""
    text = problem["msg"].removeprefix("Value error, ")
    if problem["type"] == "missing":
        return "it must have more items"
    wanted = re.fullmatch(
        r"\w+ should (.+?)(?:,? after validation, not .*|, unable to .*|, got .*)?", text
    )
    if wanted is None:
        return f"{text[0].lower()}{text[1:]}"
    what = wanted[1]
    if valid := re.match(r"be a valid (\w+)", what):
        what = f"be {_WORDS.get(valid[1], f'a {valid[1]}')}"
    return f"it must {what}"


@lru_cache(maxsize=1024)  # called for each of thousands of cells
def parameters_of(cls: type) -> tuple[Parameter, ...]:
    """The keyword parameters of a class, in order, without ``in_dim`` and ``not_parameters``.

    Raises:
        PluginError: a parameter has no annotation, or one that cannot be resolved.
    """
    try:
        hints = typing.get_type_hints(cls.__init__, include_extras=True)  # type: ignore[misc] # the class is only inspected
    except NameError as error:
        raise PluginError(
            f"{cls.__module__}.{cls.__qualname__}: an annotation cannot be resolved ({error}); "
            "import its name at module level, not under TYPE_CHECKING"
        ) from None
    others = getattr(cls, "not_parameters", ("in_dim",))
    found = []
    for name, parameter in inspect.signature(cls).parameters.items():
        if name in others or parameter.kind in (
            inspect.Parameter.VAR_KEYWORD,
            inspect.Parameter.VAR_POSITIONAL,
        ):
            continue
        if name not in hints:
            raise PluginError(
                f"{cls.__module__}.{cls.__qualname__}: parameter {name!r} has no type annotation"
            )
        try:
            default = deepcopy(parameter.default)
        except Exception as error:
            raise PluginError(
                f"{cls.__module__}.{cls.__qualname__}: the default of parameter {name!r} cannot "
                f"be copied: {error_line(error)}; take a value that copy.deepcopy copies, or None"
            ) from error
        field = FieldInfo.from_annotation(hints[name])
        # the last range is the outermost: it overrides the range of an annotated type
        searches = [item for item in field.metadata if isinstance(item, Search)]
        found.append(
            Parameter(
                name,
                _type_text(hints[name]),
                default,
                field.description or "",
                hints[name],
                searches[-1] if searches else None,
            )
        )
    return tuple(found)


def _kinds(annotation: Any) -> set[Any]:
    """The possible types and literals of a value: int and None for ``Annotated[int | None, …]``."""
    origin, parts = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _kinds(parts[0])
    if origin is not None and origin.__module__ in ("typing", "types"):
        return set().union(*map(_kinds, parts))
    return {annotation}


def validate_parameters(kind: str, name: str, cls: type, given: dict[str, Any]) -> dict[str, Any]:
    """The values of all parameters, including defaults, converted to their types.

    Raises:
        ParameterError: a name is unknown (the message suggests a similar one), or a value has the
            wrong type or is out of range.
    """
    parameters = {parameter.name: parameter for parameter in parameters_of(cls)}
    for key in given:
        if key not in parameters:
            known = f"it has: {', '.join(parameters) or 'none'}"
            hint = did_you_mean(key, parameters, known)
            raise ParameterError(f"{kind} {name!r} has no parameter {key!r}{hint}")
    values = {}
    for key, parameter in parameters.items():
        if key not in given:
            if parameter.required:
                raise ParameterError(f"{kind} {name!r} needs {key}= ({parameter.type})")
            # a copy: a constructor may change a list or table that it is given
            values[key] = deepcopy(parameter.default)
            continue
        try:
            values[key] = parameter.validate(given[key])
        except ValueError as error:
            hint = did_you_mean(given[key], parameter.choices, f"expected {parameter.type}")
            raise ParameterError(
                f"{kind} {name!r}: {key}={given[key]!r} is not valid: {error}{hint}"
            ) from None
        if kind in ("encoding", "activation", "network"):
            sizes = values[key] if isinstance(values[key], list) else [values[key]]
            if any(isinstance(size, int) and size > LARGEST_SIZE for size in sizes):
                raise ParameterError(
                    f"{kind} {name!r}: {key}={given[key]!r} is not valid: sizes are at most "
                    f"{LARGEST_SIZE}; expected {parameter.type}"
                )
    return values


def _type_text(hint: Any) -> str:
    """The type as in a signature, with bounds as inequalities: ``int >= 1``."""
    if hint is type(None):
        return "None"
    origin = typing.get_origin(hint)
    if origin is Annotated:
        inner = _type_text(typing.get_args(hint)[0])
        bounds = [
            f"{sign} {_number_text(getattr(bound, attribute))}"
            for bound in FieldInfo.from_annotation(hint).metadata
            for attribute, sign in {"ge": ">=", "gt": ">", "le": "<=", "lt": "<"}.items()
            if getattr(bound, attribute, None) is not None
        ]
        bounded = inner.removesuffix(" | None")
        return " ".join(filter(None, [bounded, ", ".join(bounds)])) + inner[len(bounded) :]
    if isinstance(hint, type) and issubclass(hint, Enum):
        return " | ".join(repr(member.value) for member in hint)
    if origin is typing.Literal:
        return " | ".join(repr(choice) for choice in typing.get_args(hint))
    if origin is not None and origin.__module__ in ("typing", "types"):
        return " | ".join(_type_text(part) for part in typing.get_args(hint))
    if origin is not None:
        inner = ", ".join(_type_text(part) for part in typing.get_args(hint))
        return f"{origin.__name__}[{inner}]"
    return getattr(hint, "__name__", str(hint))


def _number_text(number: Any) -> str:
    """The shortest text of a number: "1e+06", not "1000000.0", if that is the same number."""
    short = f"{number:g}" if isinstance(number, float) else ""
    return short if short and float(short) == number else str(number)
