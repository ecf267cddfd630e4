"""What every conformance class shares: running its checks, with pytest or without it."""

from __future__ import annotations

import inspect
import json
import traceback
import unittest
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, NoReturn

from encbench.errors import EncbenchError, ParameterError
from encbench.plugins.parameters import parameters_of, validate_parameters
from encbench.suite.config import PluginRef

__all__ = ["CheckResult", "Conformance", "fail", "require", "skip"]


def fail(message: str) -> NoReturn:
    """End a check: what is wrong, and how to mend it."""
    __tracebackhide__ = True
    raise AssertionError(message)


def require(condition: bool, message: str) -> None:
    """End a check unless the condition holds."""
    __tracebackhide__ = True
    if not condition:
        raise AssertionError(message)


def skip(reason: str) -> NoReturn:
    """End a check that does not apply; pytest takes the exception of unittest for its own."""
    raise unittest.SkipTest(reason)


@dataclass(frozen=True)
class CheckResult:
    """How one check ended."""

    name: str
    title: str
    """What holds if it passed."""
    outcome: Literal["passed", "failed", "skipped"]
    message: str = ""
    """Why it failed or was skipped."""
    details: str = ""
    """The traceback of a failure."""


class Conformance:
    """A plug-in's class and parameters, and checks on them: the methods ``test_…``.

    Each check builds what it needs, so they can run alone and in any order. Authors may add
    their own; the docstring's first line is the check's title.
    """

    kind: ClassVar[str]
    __test__ = False
    parameters: ClassVar[Mapping[str, Any]] = {}
    """As one would give them in a suite; whatever is left out has its default."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        # the classes to inherit from must not be collected where they are imported
        cls.__test__ = cls.subject_or_none() is not None

    @classmethod
    def subject_or_none(cls) -> Any:
        """The plug-in's class; None on a class that is only there to be inherited from."""
        raise NotImplementedError("a kind of conformance says where its class is")

    @property
    def subject(self) -> Any:
        """The plug-in's class."""
        return self.subject_or_none()

    @classmethod
    def run(cls) -> Iterator[CheckResult]:
        """Run every check, one after another, without pytest."""
        for name, check in cls.checks().items():
            title = (inspect.getdoc(check) or name).partition("\n")[0].rstrip(".")
            try:
                check(cls())
            except unittest.SkipTest as reason:
                yield CheckResult(name, title, "skipped", str(reason))
            except AssertionError as error:
                yield CheckResult(name, title, "failed", str(error), traceback.format_exc())
            except Exception as error:
                said = f"{type(error).__name__}: {error}"
                yield CheckResult(name, title, "failed", said, traceback.format_exc())
            else:
                yield CheckResult(name, title, "passed")

    @classmethod
    def checks(cls) -> dict[str, Callable[[Any], None]]:
        """Name to check, inherited ones first."""
        names = [name for base in reversed(cls.__mro__) for name in vars(base)]
        return {name: getattr(cls, name) for name in names if name.startswith("test_")}

    def validated(self) -> dict[str, Any]:
        """All parameters with their values, as the runner passes them."""
        name = self.subject.__name__
        try:
            return validate_parameters(self.kind, name, self.subject, dict(self.parameters))
        except EncbenchError as error:
            fail(str(error))

    def test_parameters_are_typed_and_described(self) -> None:
        """Parameters are typed, described keywords with valid defaults."""
        subject = self.subject
        for name, parameter in inspect.signature(subject).parameters.items():
            if parameter.kind in (parameter.VAR_KEYWORD, parameter.VAR_POSITIONAL):
                fail(
                    f"{subject.__name__}.__init__ takes *{name}, which hides its parameters from "
                    "suites and from `encbench list`; write each as a typed keyword"
                )
        try:
            parameters = parameters_of(subject)
        except EncbenchError as error:
            fail(f"{error}; annotate every keyword of __init__, for example `levels: int = 8`")
        for described in parameters:
            require(
                bool(described.description),
                f"parameter {described.name!r} of {subject.__name__} has no description; annotate "
                'it as Annotated[TYPE, Field(description="what it is")], with Annotated from '
                "typing and Field from pydantic",
            )
            if described.required:
                continue
            given = {described.name: described.default}
            try:
                validate_parameters(self.kind, subject.__name__, subject, given)
            except ParameterError as error:
                fail(f"the default breaks its own annotation: {error}")
        self._survive_a_record()

    def _survive_a_record(self) -> None:
        values = self.validated()
        try:
            reference = PluginRef(name="x", distribution="x", version="0", parameters=values)
            text = json.dumps(reference.model_dump(mode="json")["parameters"])
        except (TypeError, ValueError) as error:
            fail(
                f"the parameters {values} cannot be written to a record ({error}); use numbers, "
                "text, booleans, lists and None"
            )
        again = validate_parameters(
            self.kind, self.subject.__name__, self.subject, json.loads(text)
        )
        require(
            again == values,
            f"parameters change on their way through a record: {values} became {again}; use "
            "types that JSON knows (list, not set)",
        )
