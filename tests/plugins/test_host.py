"""Plug-ins are isolated from one another, and names are unambiguous."""

import logging

import pytest

from encbench.errors import AmbiguousNameError, PluginError, UnknownNameError
from tests.sample_plugin import Scaled, Wave, module, registry_of


def test_a_hook_that_raises_leaves_the_others_working():
    registry = registry_of(
        bad=module(encodings=RuntimeError("no luck")), good=module(encodings={"scaled": Scaled})
    )
    assert registry.find("encoding", "scaled").load() is Scaled
    (broken,) = registry.host.broken()
    assert broken.distribution == "bad"
    assert "RuntimeError: no luck" in broken.problem
    assert "Traceback" in broken.details


def test_a_misspelt_hook_is_refused_with_the_hooks_there_are():
    registry = registry_of(bad=module(encoding={"scaled": Scaled}))
    (broken,) = registry.host.broken()
    assert "encbench_encoding is not a hook" in broken.problem
    assert "encbench_encodings" in broken.problem


def test_an_offer_that_is_no_mapping_is_refused():
    registry = registry_of(bad=module(encodings=[Scaled]))
    (broken,) = registry.host.broken()
    assert "must return a mapping" in broken.problem


def test_two_plugins_with_one_name_are_told_apart_by_distribution():
    registry = registry_of(
        first=module(encodings={"scaled": Scaled}), second=module(encodings={"scaled": Scaled})
    )
    with pytest.raises(AmbiguousNameError, match="say first:scaled or second:scaled"):
        registry.find("encoding", "scaled")
    assert registry.find("encoding", "second:scaled").distribution == "second"
    assert registry.conflicts() == [("encoding", "scaled", ["first", "second"])]


def test_an_unknown_name_gets_the_nearest_and_the_broken_plugins_that_may_have_had_it(registry):
    with pytest.raises(UnknownNameError, match="did you mean 'scaled'"):
        registry.find("encoding", "scalde")
    registry = registry_of(bad=module(encodings=RuntimeError("no luck")))
    with pytest.raises(UnknownNameError, match=r"broken plug-in may have offered it: bad"):
        registry.find("encoding", "scaled")


def test_a_name_of_any_kind_is_found_or_gets_the_nearest_of_all_kinds():
    registry = registry_of(both=module(encodings={"triangle_wave": Scaled}, tasks={"image": Wave}))
    kinds = ("encoding", "task")
    (offer,) = registry.find_any(kinds, "image")
    assert offer.kind == "task"
    with pytest.raises(UnknownNameError, match="unknown task 'imagee'; did you mean 'image'"):
        registry.find_any(kinds, "imagee")
    with pytest.raises(UnknownNameError, match="unknown encoding 'xyz'; Installed: triangle_wave"):
        registry.find_any(kinds, "xyz")


def test_a_lazy_target_is_described_without_being_imported():
    registry = registry_of(
        lazy=module(encodings={"identity": "encbench_encodings.identity:Identity"})
    )
    offer = registry.find("encoding", "identity")
    assert "γ(x) = x" in offer.summary()
    assert offer.load().__name__ == "Identity"


def test_a_lazy_target_that_does_not_exist_names_the_distribution():
    registry = registry_of(lazy=module(encodings={"gone": "no_such_module:Gone"}))
    offer = registry.find("encoding", "gone")
    assert "not found" in offer.summary()
    with pytest.raises(PluginError, match=r"of lazy 1\.0 cannot be loaded"):
        offer.load()


def test_a_reporter_that_raises_is_a_warning(caplog):
    def fails(record):
        raise RuntimeError("printer on fire")

    from types import SimpleNamespace

    from encbench import hookimpl

    registry = registry_of(bad=SimpleNamespace(encbench_cell_finished=hookimpl(fails)))
    with caplog.at_level(logging.WARNING, "encbench"):
        registry.host.notify("encbench_cell_finished", record=None)
    assert "printer on fire" in caplog.text
    assert "bad 1.0" in caplog.text
