"""The order of names, which determines colours."""

import itertools

import pytest

from encbench.results.palette import colour_order


@pytest.mark.parametrize(
    "ordered",
    [
        ["ffe:levels=4", "ffe:levels=16", "mpe"],
        ["lr=1e-3", "lr=0.01", "lr=0.05", "lr=0.1", "lr=1", "lr=auto"],
        # equal numbers: the names decide, whatever the order of a set
        ["FFE 1", "ffe 01", "ffe 1", "ffe 1.0"],
    ],
)
def test_numbers_in_names_are_ordered_by_their_value_and_no_two_names_tie(ordered):
    for shuffled in itertools.permutations(ordered):
        assert colour_order(shuffled, ordered) == ordered
