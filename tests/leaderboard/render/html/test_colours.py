"""Colours stand out in both themes."""

from __future__ import annotations

import pytest
from encbench_leaderboard.render.html import html_page
from encbench_leaderboard.render.html.colours import DARK, LEAST, LIGHT, contrast, themed
from encbench_leaderboard.render.html.data import NEUTRAL
from encbench_leaderboard.render.style import colours
from encbench_leaderboard.report.blocks import Page


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#ffffff", "#ffffff") == 1.0
    # The grey that the recommendation's own understanding document names as just enough.
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)


def test_colours_are_the_plots_where_they_stand_out_and_near_them_elsewhere() -> None:
    entries = [f"e{i}" for i in range(20)]
    drawn = colours(entries)
    made = themed(entries)
    for place, (light, dark, marker) in enumerate(made):
        colour = drawn[entries[place]][0]
        assert marker == drawn[entries[place]][1]
        for shown, ground in ((light, LIGHT), (dark, DARK)):
            assert contrast(shown, ground) >= LEAST[ground]
            if contrast(colour, ground) >= LEAST[ground] and (ground == LIGHT or place < 10):
                assert shown == colour
    assert len({light for light, _, _ in made}) == len({dark for _, dark, _ in made}) == 20


def test_the_grounds_of_the_contrast_are_those_of_the_style_sheet() -> None:
    text = html_page(Page("p", [], []))
    assert f"--plot: light-dark({LIGHT}, {DARK})" in text
    assert f"--soft: light-dark({', '.join(NEUTRAL)})" in text
