"""Parameters are the typed keywords of ``__init__``."""

import math
import threading
from enum import Enum
from typing import Annotated, Any, Literal

import pytest
from pydantic import BaseModel, Field

from encbench import ParameterError, PluginError
from encbench.plugins.parameters import Parameter, parameters_of, validate_parameters


class Example:
    def __init__(
        self,
        in_dim: int,
        *,
        levels: Annotated[int, Field(ge=1, le=32, description="number of levels")] = 4,
        mode: Literal["linear", "nearest"] = "linear",
        resolutions: list[int] | None = None,
        copy: bool = False,
        path: str,
    ) -> None: ...


def check(**given):
    return validate_parameters("encoding", "example", Example, {"path": "p", **given})


def test_types_bounds_and_descriptions_are_read_from_the_signature():
    levels, mode, *_ = parameters_of(Example)
    assert (levels.name, levels.type, levels.default) == ("levels", "int >= 1, <= 32", 4)
    assert levels.description == "number of levels"
    assert mode.type == "'linear' | 'nearest'"


def test_bounds_of_a_parameter_that_may_be_none_stand_by_its_number():
    class Bounded:
        def __init__(
            self,
            in_dim: int,
            sizes: Annotated[int | None, Field(ge=2)] = None,
            name: Annotated[str | None, Field(description="which")] = None,
            omega: Annotated[float, Field(ge=1e-6, le=1e6)] = 1.0,
        ) -> None: ...

    assert [parameter.type for parameter in parameters_of(Bounded)] == [
        "int >= 2 | None",
        "str | None",
        "float >= 1e-06, <= 1e+06",
    ]


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


def test_an_enum_is_shown_by_its_values():
    class Coloured:
        def __init__(self, in_dim: int, colour: Colour = Colour.RED) -> None: ...

    assert parameters_of(Coloured)[0].type == "'red' | 'blue'"


def test_none_is_written_as_a_word_where_no_text_is_meant():
    shift = Parameter("shift", "", 1.0, "", Annotated[float | None, Field(ge=0)])
    assert [shift.validate(given) for given in ("none", "None", None)] == [None] * 3
    assert Parameter("name", "", "a", "", str | None).validate("none") == "none"
    with pytest.raises(ValueError, match="it must be a number"):
        Parameter("scale", "", 1.0, "", float).validate("none")


class Options(BaseModel):
    order: int = 1


def test_a_model_as_the_type_of_a_parameter_is_refused_with_what_to_do():
    (parameter,) = parameters_of(type("Modelled", (), {"__init__": modelled}))
    with pytest.raises(ValueError, match="a parameter cannot be of type Options; make the fields"):
        parameter.validate({"order": 2})


def modelled(self, *, options: Options): ...


@pytest.mark.parametrize("value", [[1, True], {"a": [False]}], ids=str)
def test_booleans_in_lists_and_tables_are_no_numbers(value):
    kind = list[float] if isinstance(value, list) else dict[str, list[float]]
    parameter = Parameter("scales", "", None, "", kind)
    with pytest.raises(ValueError, match="booleans are not numbers"):
        parameter.validate(value)
    assert Parameter("flags", "", None, "", list[bool]).validate([True]) == [True]


def test_in_dim_is_the_tasks_business_and_no_parameter():
    assert "in_dim" not in {parameter.name for parameter in parameters_of(Example)}


def test_a_default_that_cannot_be_copied_is_named():
    class Locked:
        def __init__(self, *, lock: Any = threading.Lock()) -> None:  # noqa: B008 # the fault
            pass

    with pytest.raises(PluginError, match=r"Locked: the default of parameter 'lock' cannot be"):
        validate_parameters("encoding", "locked", Locked, {})


def test_a_default_that_is_changed_stays_as_it_was_written():
    class Listed:
        def __init__(self, in_dim: int, *, levels: list[int] = [1, 2]) -> None:  # noqa: B006 # the fault
            levels.append(3)

    for _ in range(2):
        values = validate_parameters("encoding", "listed", Listed, {})
        assert values == {"levels": [1, 2]}
        Listed(2, **values)


def test_defaults_are_filled_in():
    assert check(levels=2) == {
        "levels": 2,
        "mode": "linear",
        "resolutions": None,
        "copy": False,
        "path": "p",
    }


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"level": 3}, ["'level'", "did you mean 'levels'"]),
        ({"levels": 0}, ["levels=0", ">= 1"]),
        ({"levels": "many"}, ["'many'", "int"]),
        ({"mode": "cubic"}, ["'cubic'", "'linear'", "'nearest'"]),
        ({"resolutions": "wide"}, ["'wide'", "list[int]"]),
        ({"levels": True}, ["levels=True", "not numbers", "int >= 1"]),
        ({"path": 2024}, ["path=2024", 'path="2024"']),
        ({"path": True}, ['path="true"']),
    ],
)
def test_a_wrong_parameter_is_named_with_what_was_expected(given, words):
    with pytest.raises(ParameterError) as caught:
        check(**given)
    assert all(word in str(caught.value) for word in words), caught.value
    assert "\n" not in str(caught.value)


def test_a_required_parameter_that_is_missing_is_named():
    with pytest.raises(ParameterError, match="needs path="):
        validate_parameters("task", "example", Example, {})


def test_a_parameter_without_a_type_is_the_plugins_fault():
    class Untyped:
        def __init__(self, in_dim: int, *, levels=3) -> None: ...

    with pytest.raises(PluginError, match=r"Untyped: parameter 'levels' has no type"):
        parameters_of(Untyped)


@pytest.mark.parametrize(
    ("annotation", "given", "words"),
    [
        (Annotated[list[int], Field(min_length=1)], [], "it must have at least 1 item"),
        (Annotated[list[int], Field(max_length=1)], [1, 2], "it must have at most 1 item"),
        (list[int], ["x"], "its item 1 must be an integer"),
        (list[int], 3, "it must be a list"),
        (int, 1.5, "it must be an integer"),
        (int | None, "x", "it must be an integer"),
        (float, "x", "it must be a number"),
        (float, math.inf, "it must be a finite number"),
        (bool, "maybe", "it must be true or false"),
        (dict[str, int], [1], "it must be a table"),
        (tuple[int, int], [1], "it must have more items"),
        (tuple[int, int], [1, 2, 3], "it must have at most 2 items"),
        (Annotated[str, Field(min_length=2)], "b", "it must have at least 2 characters"),
    ],
)
def test_a_value_that_does_not_fit_is_said_in_plain_words(annotation, given, words):
    parameter = Parameter("p", "type", None, "", annotation)
    with pytest.raises(ValueError, match=f"^{words}$"):
        parameter.validate(given)
