"""Which random numbers a cell draws, and what its key depends on."""

from itertools import combinations

import pytest
import torch

from encbench.runs.parts import cell_streams
from encbench.suite.config import CellConfig, cell_key
from encbench.suite.seeding import Streams, all_seeded, seeded

PURPOSES = ("data", "batches", "ntk", "weights")
CELL = {
    "encoding": {
        **{"name": "mpe", "distribution": "encbench", "version": "0.1.0"},
        **{"parameters": {"resolutions": [64]}, "label": "mpe [64]"},
    },
    "task": {
        **{"name": "image", "distribution": "encbench", "version": "0.1.0"},
        **{"parameters": {"image": "coffee", "side": 128}, "label": "coffee"},
    },
    "network": {"width": 64, "depth": 2},
    "training": {"steps": 100},
    "ntk": {},
    "data_hash": "ab12",
}
PINNED = [
    32_840_967_000_490_812,
    5_707_782_197_863_192_816,
    2_029_590_852_546_183_196,
    4_489_259_220_505_103_278,
]
"""In the order of PURPOSES, computed without encbench: SHA-256 of the JSON."""
OTHER_RESULTS = [
    ("encoding", {"name": "grid"}),
    ("encoding", {"distribution": "encbench-other"}),
    ("encoding", {"parameters": {"resolutions": [65]}}),
    ("task", {"name": "photo"}),
    ("task", {"distribution": "encbench-other"}),
    ("task", {"parameters": {"image": "coffee", "side": 129}}),
    ("network", {"width": 65}),
    ("network", {"depth": 3}),
    ("network", {"parameterization": "standard"}),
    ("network", {"beta": 0.2}),
    ("network", {"first_layer_scale": "width"}),
    ("network", {"kind": "resmlp"}),
    ("network", {"activation": "sine"}),
    ("training", {"optimizer": "adam"}),
    ("training", {"lr": 1.0}),
    ("training", {"lr_factor": 1.0}),
    ("training", {"schedule": "cosine"}),
    ("training", {"encoding_lr_factor": 2.0}),
    ("training", {"batch_size": 255}),
    ("training", {"steps": 101}),
    ("training", {"steps": None, "epochs": 100}),
    ("training", {"evaluations": 33}),
    ("training", {"matmul_precision": "high"}),
    ("ntk", {"points": 1023}),
    ("ntk", {"outputs": "full"}),
    ("ntk", {"split": "level"}),
    (None, {"seed": 1}),
    (None, {"data_hash": "ab13"}),
]
SAME_RESULTS = [
    ("encoding", {"label": "grid"}),
    ("encoding", {"version": "0.2.0"}),
    ("task", {"label": "cup"}),
    ("task", {"version": "0.2.0"}),
    (None, {"weights_version": "0.1.0"}),
    (None, {"other_versions": {"theirs": "0.1.0"}}),
]


def cell(part: str | None = None, changes: dict[str, object] | None = None) -> CellConfig:
    changes = changes or {}
    return CellConfig.model_validate(
        CELL | (changes if part is None else {part: CELL[part] | changes})
    )


def seeds(part=None, changes=None):
    streams = cell_streams(cell(part, changes))
    return {purpose: streams.seed(purpose) for purpose in PURPOSES}


def test_the_seeds_of_a_cell_are_those_with_which_its_records_were_made():
    """A change would change every published number, and no record could be run again."""
    streams = Streams(task={"name": "t"}, encoding=["e"], seed=3)
    assert [streams.seed(purpose) for purpose in PURPOSES] == PINNED


@pytest.mark.parametrize("begin", [seeded, all_seeded])
def test_the_numbers_drawn_inside_are_those_after_torchs_own_seed(begin):
    torch.manual_seed(5)
    wanted, after = torch.rand(3), torch.rand(3)
    torch.manual_seed(5)
    torch.rand(3)
    with begin(5):
        assert torch.equal(torch.rand(3), wanted)
    assert torch.equal(torch.rand(3), after)


def test_each_purpose_has_its_own_stream():
    for one, other in combinations(PURPOSES, 2):
        assert seeds()[one] != seeds()[other]


@pytest.mark.parametrize("purpose", PURPOSES)
def test_the_seed_and_the_data_change_every_stream(purpose):
    assert seeds(None, {"seed": 1})[purpose] != seeds()[purpose]
    assert seeds(None, {"data_hash": "ab13"})[purpose] != seeds()[purpose]


@pytest.mark.parametrize(
    ("part", "changes"),
    [each for each in OTHER_RESULTS if each[0] in ("encoding", "network")],
)
def test_encodings_and_networks_share_data_batches_and_points_and_not_weights(part, changes):
    changed = seeds(part, changes)
    assert {p for p in PURPOSES if changed[p] != seeds()[p]} == {"weights"}


@pytest.mark.parametrize(
    ("part", "changes"), [each for each in OTHER_RESULTS if each[0] in ("training", "ntk")]
)
def test_how_it_is_trained_and_measured_changes_no_stream(part, changes):
    assert seeds(part, changes) == seeds()


def test_a_photograph_has_the_same_streams_by_whatever_path_it_came():
    assert seeds("task", {"parameters": {"image": "other/coffee.png", "side": 128}}) == seeds()


@pytest.mark.parametrize(("part", "changes"), OTHER_RESULTS)
def test_everything_that_can_change_a_result_is_in_the_key(part, changes):
    assert cell_key(cell(part, changes)) != cell_key(cell())


def test_every_setting_is_tried_above():
    tried = {(part, name) for part, changes in OTHER_RESULTS + SAME_RESULTS for name in changes}
    for part, field in CellConfig.model_fields.items():
        names = getattr(field.annotation, "model_fields", None)
        for name in names or ():
            assert (part, name) in tried
        if names is None:
            assert (None, part) in tried


@pytest.mark.parametrize(("part", "changes"), SAME_RESULTS)
def test_labels_and_versions_are_not_in_the_key(part, changes):
    assert cell_key(cell(part, changes)) == cell_key(cell())


def test_settings_that_came_later_do_not_change_the_keys_of_cells_without_them():
    assert cell_key(CellConfig.model_validate(CELL)) == "67edd932675ba37e04f9"
