"""The base of conformance classes: running the checks, with pytest or without it."""

from __future__ import annotations

import concurrent.futures as futures
import inspect
import json
import multiprocessing
import pickle
import signal
import sys
import traceback
import unittest
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from functools import cache
from multiprocessing import resource_tracker
from typing import Any, ClassVar, Literal, NoReturn, TypeVar

import torch
from torch import Tensor

from encbench.errors import EncbenchError, ParameterError, bounded
from encbench.plugins.isolation import (
    LEFT_BY_IMPORTS,
    ctrl_c_noted,
    process_state,
    process_state_kept,
)
from encbench.plugins.parameters import parameters_of, validate_parameters
from encbench.suite.config import PluginRef

T = TypeVar("T")
TIMEOUT = 120.0
"""Time limit of a call in a worker process [s]; a new process imports torch first."""


def fail(message: str) -> NoReturn:
    """Fail the check; the message says what is wrong and how to mend it."""
    __tracebackhide__ = True
    raise AssertionError(message)


def require(condition: bool, message: str) -> None:
    """Fail the check unless the condition holds."""
    __tracebackhide__ = True
    if not condition:
        raise AssertionError(message)


def require_equal(found: Tensor, expected: Tensor, tolerance: float, message: str) -> None:
    """Fail unless tensors agree within tolerance · max(1, largest absolute expected number)."""
    scale = max(1.0, float(expected.detach().abs().max()))
    error = float((found - expected).detach().abs().max())
    require(error <= tolerance * scale, f"differs by {error:.3g}: {message}")


def tensor_text(thing: object) -> str:
    """Describe an object in a message."""
    if isinstance(thing, Tensor):
        return f"a tensor {tuple(thing.shape)} in {thing.dtype}"
    return f"a {type(thing).__name__}"


def skip(reason: str) -> NoReturn:
    """Skip a check that does not apply; pytest knows unittest's exception."""
    raise unittest.SkipTest(reason)


class Advice(unittest.SkipTest):
    """Advice on a plug-in whose numbers are right anyway; pytest skips the check."""


def advise(condition: bool, message: str) -> None:
    """Advise unless the condition holds; the message says what to do."""
    if not condition:
        raise Advice(message)


@dataclass(frozen=True)
class CheckResult:
    """The result of one check."""

    name: str
    title: str
    """One sentence on what holds if the check passes."""
    outcome: Literal["passed", "failed", "skipped", "advice"]
    message: str = ""
    """Why it failed or was skipped, or the advice."""
    details: str = ""
    """The traceback of a failure."""


class Conformance:
    """Checks of a plug-in's class with given parameters: the methods ``test_…``.

    Each check builds what it needs, so checks run alone and in any order. Authors may add checks of
    their own; the first line of a check's docstring is its title.
    """

    kind: ClassVar[str] = ""
    __test__ = False
    parameters: ClassVar[Mapping[str, Any]] = {}
    """Parameters as in a suite; those that are left out have their defaults."""

    def __init_subclass__(cls, **keywords: Any) -> None:
        super().__init_subclass__(**keywords)
        # pytest must not collect imported base classes
        cls.__test__ = getattr(cls, cls.kind, None) is not None

    @property
    def subject(self) -> Any:
        """The plug-in's class, the class attribute named after its kind."""
        return getattr(self, self.kind)

    @classmethod
    def run(cls) -> Iterator[CheckResult]:
        """Run every check, one after another, without pytest."""
        for name, check in cls.checks().items():
            title = (inspect.getdoc(check) or name).partition("\n")[0].rstrip(".")
            try:
                with process_state_kept(known=True), ctrl_c_noted() as pressed:
                    check(cls())
            except Advice as advice:
                yield CheckResult(name, title, "advice", str(advice))
            except unittest.SkipTest as reason:
                yield CheckResult(name, title, "skipped", str(reason))
            except BaseException as error:
                if pressed:
                    raise pressed[0] from error
                kind = "" if isinstance(error, AssertionError) else f"{type(error).__name__}: "
                yield CheckResult(name, title, "failed", f"{kind}{error}", traceback.format_exc())
            else:
                yield CheckResult(name, title, "passed")

    @classmethod
    def checks(cls) -> dict[str, Callable[[Any], None]]:
        """The checks by name, inherited ones first."""
        names = [name for base in reversed(cls.__mro__) for name in vars(base)]
        return {name: getattr(cls, name) for name in names if name.startswith("test_")}

    def validated(self) -> dict[str, Any]:
        """All parameters with their values, as the runner passes them."""
        name = self.subject.__name__
        try:
            return validate_parameters(self.kind, name, self.subject, dict(self.parameters))
        except EncbenchError as error:
            fail(str(error))

    def require_parameters_kept(self, values: dict[str, Any]) -> None:
        """Fail if the constructor has changed the parameters that it was given."""
        for name, value in self.validated().items():
            require(
                values[name] == value,
                f"__init__ changes its parameter {name!r} from {value!r} to {values[name]!r}; "
                f"change a copy of it, {name} = copy.deepcopy({name})",
            )

    def advise_docstring(self) -> None:
        """Advise unless the class has a docstring of its own."""
        name = self.subject.__name__
        advise(
            bool((vars(self.subject).get("__doc__") or "").strip()),
            f"{name} has no docstring; its first line is what `encbench list` shows",
        )

    def advise_text(self, name: str, example: str) -> None:
        """Advise unless the class has a non-empty text under this name."""
        value = getattr(self.subject, name, "")
        advise(
            isinstance(value, str) and bool(value.strip()),
            f"{self.subject.__name__}.{name} is {value!r}; set it in the class: "
            f'{name} = "{example}"',
        )

    @staticmethod
    def require_sizes(built: Any, mend: str) -> None:
        """Fail unless ``in_dim`` and ``out_dim`` are positive integers."""
        for name in ("in_dim", "out_dim"):
            value = getattr(built, name, None)
            require(
                isinstance(value, int) and value >= 1,
                f"{name} is {value!r}, expected an integer of at least 1; {mend}",
            )

    @staticmethod
    def require_nothing_changed(use: Callable[[], object]) -> None:
        """Fail if ``use`` changes state that all code of the process shares; restore it."""
        with process_state_kept(known=True):
            before = process_state()
            use()
            after = process_state()
        for name, value in before.items():
            now = value if name in LEFT_BY_IMPORTS else after[name]
            if isinstance(value, dict):
                keys = {key for key in (value | now) if value.get(key) != now.get(key)}
                value, now = ({k: v for k, v in each.items() if k in keys} for each in (value, now))
            require(
                now == value,
                f"using it changes {name} from {bounded(str(value), 200)} to "
                f"{bounded(str(now), 200)} for everything that runs later in the process; "
                "leave it, or put it back in a finally block",
            )

    def test_parameters_are_typed_and_described(self) -> None:
        """Parameters are typed, described keywords with valid defaults and search ranges."""
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
            for value in described.search.ends if described.search else ():
                try:
                    described.validate(value)
                except ValueError as error:
                    fail(f"Search of {described.name!r} holds {value!r}, which is refused: {error}")
            if described.required:
                continue
            given = {**self.parameters, described.name: described.default}
            try:
                validate_parameters(self.kind, subject.__name__, subject, given)
            except ParameterError as error:
                fail(f"the default breaks its own annotation: {error}")
        self._require_recordable()
        bare = [repr(described.name) for described in parameters if not described.description]
        advise(
            not bare,
            f"parameter {', '.join(bare)} of {subject.__name__} has no description; annotate it as "
            'Annotated[TYPE, Field(description="what it is")], with Annotated from typing and '
            "Field from pydantic",
        )

    def _require_recordable(self) -> None:
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
            f"parameters change when they are written to a record and read: {values} became "
            f"{again}; use types that JSON has (list, not set)",
        )


def call_in_worker(function: Callable[..., T], subject: Any, *arguments: Any) -> T:
    """``function(subject, *arguments)``, computed in another process.

    Fails the check if the subject cannot be pickled, the function raises, or the process dies.
    """
    name = subject.__name__ if isinstance(subject, type) else type(subject).__name__
    try:
        payload = pickle.dumps(subject)
    except Exception as error:
        fail(
            f"{name} cannot be pickled ({type(error).__name__}: {error}); define its class at "
            "module level and keep no lambdas, locks, open files or local functions in it"
        )
    # A worker that this starts ignores Ctrl-C, of which it would print a traceback. The tracker
    # first, because starting it unblocks the signal.
    resource_tracker.ensure_running()
    blocked = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        result = _pool().submit(_unpickle_and_call, sys.path, function, payload, arguments)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, blocked)
    try:
        return result.result(TIMEOUT)
    except BrokenProcessPool:
        _pool.cache_clear()
        fail(
            f"a worker process died while it used {name}: either native code crashed, or the "
            'main script cannot be imported there and lacks `if __name__ == "__main__":`'
        )
    except Exception as error:
        fail(
            f"{name} does not work in a worker process ({type(error).__name__}: {error}); it must "
            "be importable there and need nothing that only this process has"
        )


def _unpickle_and_call(
    path: list[str], function: Callable[..., T], payload: bytes, arguments: Any
) -> T:
    sys.path[:] = path  # it may have changed since the process was started
    # unpickled here, so that an error is returned and does not break the pool
    return function(pickle.loads(payload), *arguments)


@cache
def _pool() -> futures.ProcessPoolExecutor:
    context = multiprocessing.get_context("spawn")
    return futures.ProcessPoolExecutor(
        1, mp_context=context, initializer=torch.set_num_threads, initargs=(1,)
    )
