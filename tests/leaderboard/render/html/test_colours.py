"""Colours stand out in both themes."""

from __future__ import annotations

from itertools import pairwise

import pytest
from encbench_leaderboard.render.html import html_page
from encbench_leaderboard.render.html.data import NEUTRAL, Entries
from encbench_leaderboard.report.blocks import Page
from matplotlib.colors import to_rgb

from encbench.results.palette import colours

LIGHT, DARK = "#ffffff", "#161a21"
LEAST = {LIGHT: 3.0, DARK: 4.5}


def contrast(one: str, other: str) -> float:
    """Contrast of two colours, 1 (none) to 21, as WCAG 2.2 defines it."""

    def luminance(colour: str) -> float:
        parts = to_rgb(colour)
        r, g, b = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
        return 0.2126 * r + 0.7152 * g + 0.0722 * b

    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def test_contrast_is_that_of_wcag() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21.0)
    assert contrast("#ffffff", "#ffffff") == 1.0
    # The grey that the "Understanding" document of the recommendation names as just enough.
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.005)


def test_colours_are_the_plots_where_they_stand_out_and_near_them_elsewhere() -> None:
    names = [f"e{i}" for i in range(20)]
    drawn, entries = colours(names), Entries(names)
    shown = [entries.colours(name) for name in names]
    for place, name in enumerate(names):
        colour, marker = drawn[name]
        assert entries.marker(name) == marker
        for found, ground in zip(shown[place], (LIGHT, DARK), strict=True):
            assert contrast(found, ground) >= LEAST[ground]
            if contrast(colour, ground) >= LEAST[ground] and (ground == LIGHT or place < 10):
                assert found == colour
    assert len({light for light, _ in shown}) == len({dark for _, dark in shown}) == 20
    assert all(one != other for one, other in pairwise(shown))


def test_the_grounds_of_the_contrast_are_those_of_the_style_sheet() -> None:
    text = html_page(Page("p", [], []))
    assert f"--plot: light-dark({LIGHT}, {DARK})" in text
    assert f"--soft: light-dark({', '.join(NEUTRAL)})" in text
