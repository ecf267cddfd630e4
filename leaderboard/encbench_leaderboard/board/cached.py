"""What is said of a board twice, on the Markdown page and on the HTML page, is worked out once."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TypeVar, TypeVarTuple
from weakref import WeakKeyDictionary

__all__ = ["remembered"]

Of = TypeVar("Of")
More = TypeVarTuple("More")
Said = TypeVar("Said")


def remembered(function: Callable[[Of, *More], Said]) -> Callable[[Of, *More], Said]:
    """Decorator: the same answer for the same board as long as the board lives.

    The first argument is told by its identity and must not change; further ones are positional
    and hashable. Every caller gets the same object, which it must leave as it is, and which must
    not refer to the board.
    """
    known: WeakKeyDictionary[Of, dict[tuple[*More], Said]] = WeakKeyDictionary()

    @wraps(function)
    def remembering(of: Of, /, *more: *More) -> Said:
        answers = known.setdefault(of, {})
        if more not in answers:
            answers[more] = function(of, *more)
        return answers[more]

    return remembering
