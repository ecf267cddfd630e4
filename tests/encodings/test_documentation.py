"""docs/encodings.md lists the registered encodings, with their true numbers of parameters."""

import re
from pathlib import Path

import encbench_encodings
import pytest
from encbench_encodings.densegrid import DenseGrid
from encbench_encodings.grid import Grid
from encbench_encodings.hashgrid import HashGrid
from encbench_encodings.mpe import MultigridParametricEncoding
from encbench_encodings.siren import Siren
from encbench_encodings.tiledgrid import TiledGrid

from encbench.network.activations import encbench_activations

PAGE = Path(__file__).parents[2] / "docs" / "encodings.md"
TABLES, ACTIVATION_TABLE = PAGE.read_text(encoding="utf-8").split("## Activations")


def names(text: str) -> list[str]:
    rows = re.findall(r"^\| (`[^|]*`) \|", text, flags=re.MULTILINE)
    return [name for row in rows for name in re.findall(r"`(\w+)`", row)]


def test_every_registered_encoding_has_one_row():
    assert sorted(names(TABLES)) == sorted(encbench_encodings.encbench_encodings())


def test_every_activation_has_one_row():
    assert sorted(names(ACTIVATION_TABLE)) == sorted(encbench_activations())


def rounded(vertices: int) -> int:
    return 8 * -(-vertices // 8)


@pytest.mark.parametrize("in_dim", [1, 2, 3])
def test_learned_numbers_are_those_of_the_page(in_dim):
    def count(encoding):
        return sum(p.numel() for p in encoding.parameters())

    tcnn = {"levels": 3, "base_resolution": 5, "per_level_scale": 2.0, "features_per_level": 2}
    nodes = [5, 10, 20]  # ceil(5 · 2^l − 1) + 1
    assert count(Siren(in_dim, features=7)) == 7 * (in_dim + 1)
    assert count(Grid(in_dim, resolution=6, features=3)) == 3 * 6**in_dim
    mpe = MultigridParametricEncoding(in_dim, resolutions=[4, 9], features_per_level=3)
    assert count(mpe) == 3 * (4**in_dim + 9**in_dim)
    assert count(DenseGrid(in_dim, **tcnn)) == 2 * sum(rounded(n**in_dim) for n in nodes)
    assert count(HashGrid(in_dim, log2_hashmap_size=7, **tcnn)) == 2 * sum(
        min(rounded(n**in_dim), 128) for n in nodes
    )
    assert count(TiledGrid(in_dim, **tcnn)) == 2 * sum(
        min(rounded(n**in_dim), 5**in_dim) for n in nodes
    )
