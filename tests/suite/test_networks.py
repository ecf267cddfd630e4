"""An encoding is created by name, for use in your own network."""

from pathlib import Path

import numpy as np
import pytest
import torch
from encbench_encodings.hashgrid import HashGrid

import encbench
from encbench import ParameterError, UnknownNameError, UsageError

HOW_TO = Path(__file__).parents[2] / "docs" / "how-to.md"


def test_the_documented_network_has_the_encoding_that_was_asked_for():
    _, _, rest = HOW_TO.read_text("utf-8").partition("## Use an encoding in my own network")
    names = {}
    exec(rest.partition("```python\n")[2].partition("```")[0], names)
    assert names["values"].shape == (1024, 1)
    torch.manual_seed(0)
    by_name = encbench.encoding("hashgrid:levels=8,log2_hashmap_size=17", in_dim=3)
    torch.manual_seed(0)
    by_keywords = encbench.encoding("hashgrid:levels=8", in_dim=3, log2_hashmap_size=17)
    torch.manual_seed(0)
    itself = HashGrid(3, levels=8, log2_hashmap_size=17)
    x = torch.rand(20, 3)
    assert torch.equal(by_name(x), itself(x))
    assert torch.equal(by_keywords(x), itself(x))


@pytest.mark.parametrize(
    ("text", "in_dim", "error", "words"),
    [
        ("hashgird", 3, UnknownNameError, "did you mean 'hashgrid'"),
        ("hashgrid:levls=3", 3, ParameterError, "did you mean 'levels'"),
        ("spherical_harmonics", 2, ParameterError, "^spherical_harmonics takes points of 3"),
        (3, 2, UsageError, "^text is 3; expected the name of an encoding"),
    ],
)
def test_an_invalid_text_or_dimension_is_explained(text, in_dim, error, words):
    with pytest.raises(error, match=words):
        encbench.encoding(text, in_dim)


def test_a_parameter_is_given_once():
    with pytest.raises(UsageError, match=r"^levels given in 'ffe:levels=3' and as a keyword"):
        encbench.encoding("ffe:levels=3", 2, levels=4)


def test_in_dim_may_be_a_numpy_integer_and_a_wrong_one_is_not_the_plugins_fault():
    assert encbench.encoding("ffe", np.int64(2)).in_dim == 2
    for wrong in ("3", 2.0, None):
        with pytest.raises(ParameterError, match=rf"^in_dim is {wrong!r}; expected a whole number"):
            encbench.encoding("hashgrid", wrong)
