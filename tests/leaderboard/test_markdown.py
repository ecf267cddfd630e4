"""Tables and pages as Markdown: laid out by tabulate, with all text escaped."""

from __future__ import annotations

from collections.abc import Sequence

from encbench_leaderboard.render.markdown import ROWS, markdown, markdown_table
from encbench_leaderboard.report.blocks import (
    Column,
    Figure,
    Fold,
    Page,
    Row,
    Section,
    Table,
    Text,
    Value,
)
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

TEXT = st.text("ab 1,.|`–≤λ\\[](<>*_&#~$", max_size=12)


def table(kinds: Sequence[str], texts: Sequence[Sequence[str]]) -> Table:
    columns = [Column(f"c{place}", f"[{kind}]", kind) for place, kind in enumerate(kinds)]
    return Table("t", columns, [Row([Value(text) for text in row]) for row in texts])


def as_html(text: str) -> str:
    return MarkdownIt("commonmark").enable("table").render(text)


def test_numbers_stay_as_they_are_written_and_are_aligned_right() -> None:
    shown = markdown_table(table(["number", "text"], [["1,024", "2.40e3"], ["1 [0.5, 2]", "< 1"]]))
    assert shown.splitlines() == [
        "|   [number] | [text]   |",
        "|-----------:|:---------|",
        "|      1,024 | 2.40e3   |",
        "| 1 [0.5, 2] | < 1      |",
    ]


# on a busy machine, hypothesis is slow to draw examples
@settings(suppress_health_check=[HealthCheck.too_slow], deadline=None)
@given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=5))
def test_foreign_text_can_be_no_markup_in_a_table(texts: list[tuple[str, str, str]]) -> None:
    html = as_html(markdown_table(table(["number", "text", "code"], texts)))
    body = html[html.index("<tbody>") :]
    assert body.count("<td") == 3 * len(texts)
    for tag in ("<a ", "<em>", "<strong>", "<img", "<b>"):
        assert tag not in body


def test_a_pipe_in_a_label_does_not_break_the_table() -> None:
    html = as_html(markdown_table(table(["code", "number"], [["odd:text=a|b`c", "1"]])))
    assert '<td style="text-align:left"><code>odd:text=a|b`c</code></td>' in html


def entries(number: int, failed: int) -> Table:
    rows = [Row([Value(f"e{i}")], f"e{i}", {"ok": 1}) for i in range(number)]
    rows += [Row([Value(f"f{i}")], f"f{i}", {"timeout": 2}) for i in range(failed)]
    return Table("t", [Column("encoding", "encoding", "code")], rows)


def test_of_a_long_table_the_first_rows_are_open() -> None:
    first, rest = markdown_table(entries(30, 0)).split("<summary>10 more rows</summary>")
    assert "`e19`" in first
    assert "`e20`" in rest


def test_of_a_very_long_table_failures_are_not_what_is_left_out() -> None:
    text = markdown_table(entries(ROWS + 40, 60))
    assert f"`e{ROWS - 1}`" in text
    assert f"`e{ROWS}`" not in text
    assert "`f49`" in text
    assert "`f50`" not in text
    assert "50 of 300 rows are not shown." in text


def test_a_figure_is_a_link_to_what_was_drawn_of_it() -> None:
    figure = Figure("cost", "quality against cost", "A mark is a mean.", list)
    more = [Fold("More", [Text("*told*")])]
    section = Section("image", "image:image=*", [figure], more=more)
    page = Page("Leaderboard", [section], [], [Text("How to read it.")])
    links = {("image", "cost"): "the%20page/image-cost.png"}
    title = "![image:image=\\*: quality against cost]"
    assert markdown(page, links, "the page", "the page.md") == {
        "": "# Leaderboard\n\n## `image:image=*`\n\n"
        f"{title}(the%20page/image-cost.png)\n\n*A mark is a mean.*\n\n"
        "[All columns, tests, spectra and times](the%20page/image.md).\n\n"
        "[How to read this page, and what it rests on](the%20page/about-this-page.md)\n",
        "image.md": "[Back to the leaderboard](../the%20page.md)\n\n# `image:image=*`\n\n"
        f"{title}(image-cost.png)\n\n*A mark is a mean.*\n\n## More\n\n*told*\n",
        "about-this-page.md": "[Back to the leaderboard](../the%20page.md)\n\nHow to read it.\n",
    }
    assert "![" not in "".join(markdown(page, {}, "page", "page.md").values())


def test_the_page_shows_the_first_columns_and_the_page_of_a_section_all() -> None:
    columns = [Column("encoding", "encoding", "code"), Column("c", "c", first=False)]
    rows = [Row([Value("e"), Value("1")], "e")]
    section = Section("s", "s", [Table("standings", columns, rows)])
    texts = markdown(Page("p", [section], []), {}, "p", "p.md")
    assert "|   c |" not in texts[""]
    assert "|   c |" in texts["s.md"]
