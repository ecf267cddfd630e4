"""The layout of Markdown tables."""

from __future__ import annotations

from encbench_leaderboard.render.markdown import table
from hypothesis import given
from hypothesis import strategies as st
from tabulate import tabulate

TEXT = st.text("ab 1,.|`–≤λ", max_size=12)
HEADINGS = st.lists(st.text("abλ#", min_size=1, max_size=9), min_size=1, max_size=4, unique=True)


@given(st.data())
def test_a_table_is_laid_out_as_tabulate_does(data: st.DataObject) -> None:
    headings = data.draw(HEADINGS)
    row = st.tuples(*[TEXT] * len(headings))
    texts = data.draw(st.lists(row, min_size=1, max_size=5))
    rows = [dict(zip(headings, text, strict=True)) for text in texts]
    left = data.draw(st.sets(st.sampled_from(headings)))
    assert table(rows, list(left)) == tabulate(
        texts,
        headers=headings,
        tablefmt="pipe",
        colalign=["left" if heading in left else "right" for heading in headings],
        disable_numparse=True,
    )


def test_numbers_stay_as_they_are_written() -> None:
    assert table([{"n": "1,024", "λ": "2.40e3"}], ["λ"]).splitlines() == [
        "|     n | λ      |",
        "|------:|:-------|",
        "| 1,024 | 2.40e3 |",
    ]
