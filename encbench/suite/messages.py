"""Error messages on settings, in the terms of a suite file."""

from __future__ import annotations

import re
from typing import Any, get_args

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from encbench.errors import did_you_mean
from encbench.plugins.parameters import plain_reason
from encbench.suite.config import SECTIONS
from encbench.suite.sweep import SWEEP


def describe_error(error: ValidationError, model: type[BaseModel]) -> str:
    """Describe the first problem of a validation: the key, its value, and what was expected."""
    problems = error.errors()
    problem = _misspelt(problems) or problems[0]
    where, inside = _locate(model, problem["loc"])
    steps = (f"[{part}]" if isinstance(part, int) else f".{part}" for part in where)
    key = "".join(steps).lstrip(".")
    if problem["type"] == "extra_forbidden":
        known = list(inside.model_fields)
        hint = did_you_mean(where[-1], known, f"known here: {', '.join(known)}")
        return f"unknown key {key}{hint}"
    if problem["type"] == "missing":
        return f"{key} is missing"
    # a value that fits no member of a union has one problem per member
    reasons = [_expected(p) for p in problems if _locate(model, p["loc"])[0] == where]
    reason = " or ".join(dict.fromkeys(reasons)).replace(" or expected ", " or ")
    if isinstance(problem["input"], str):
        reason += did_you_mean(problem["input"], re.findall("'([^']+)'", reason))
    if isinstance(problem["input"], dict) and len(problem["input"]) == 1:
        ((word, values),) = problem["input"].items()
        reason += did_you_mean(word, [SWEEP] if isinstance(values, list) else [])
    if isinstance(problem["input"], list) and problem["input"] and where[0] in SECTIONS:
        reason += f"; for a cell with each of them write {{ {SWEEP} = {problem['input']} }}"
    got = "" if isinstance(problem["input"], dict) else f" = {problem['input']!r}"
    return f"{key}{got}: {reason}" if key else reason


def _misspelt(problems: list[ErrorDetails]) -> ErrorDetails | None:
    """The unknown key beside a missing one, which it probably is, if the first problem is that."""
    first = problems[0]
    unknown = (p for p in problems if p["type"] == "extra_forbidden")
    beside = (p for p in unknown if p["loc"][:-1] == first["loc"][:-1])
    return next(beside, None) if first["type"] == "missing" else None


def _expected(problem: ErrorDetails) -> str:
    """What pydantic expects, in the terms of a suite file."""
    if problem.get("ctx", {}).get("class_name") == "SuiteEntry":
        return 'expected a text such as "ffe:levels=8", or a table with a name'
    return re.sub(r"^it must (be|have) ", "expected ", plain_reason(problem))


def _locate(
    model: type[BaseModel], location: tuple[int | str, ...]
) -> tuple[list[int | str], type[BaseModel]]:
    """The part of a location that is in the suite file, and the model that contains it.

    pydantic appends the member of a union to it.
    """
    where: list[int | str] = []
    holder = model
    inside: type[BaseModel] | None = model
    for part in location:
        if isinstance(part, str):
            if inside is None:
                break
            holder = inside
            field = holder.model_fields.get(part)
            inside = None if field is None else _nested(field.annotation)
        where.append(part)
    return where, holder


def _nested(annotation: Any) -> type[BaseModel] | None:
    """The model in an annotation such as ``list[SuiteEntry] | None``."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_nested, get_args(annotation))), None)
