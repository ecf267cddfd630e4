"""What the garbage collector is kept from while a page is made, and from what not."""

from __future__ import annotations

import gc
import weakref

import pytest
from encbench_leaderboard.collecting import settled


class Ring:
    """Refers to itself, so that only the collector frees it."""

    def __init__(self) -> None:
        self.self = self


def test_what_exists_is_left_alone_inside_and_looked_at_again_after() -> None:
    old = Ring()
    seen = weakref.ref(old)
    with settled():
        del old
        gc.collect()
        assert seen() is not None
    gc.collect()
    assert seen() is None


def test_what_is_made_inside_is_collected_inside() -> None:
    with settled():
        made = weakref.ref(Ring())
        gc.collect()
        assert made() is None


def test_only_the_outermost_thaws() -> None:
    with settled():
        with settled():
            pass
        assert gc.get_freeze_count() > 0
    assert gc.get_freeze_count() == 0


def test_an_error_thaws_too() -> None:
    with pytest.raises(KeyError), settled():
        raise KeyError
    assert gc.get_freeze_count() == 0
