"""The page is one file that neither loads nor sends anything."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from encbench_leaderboard.render.html import document, html_page
from encbench_leaderboard.render.html.document import to_html
from encbench_leaderboard.render.html.plots import escaped
from encbench_leaderboard.report.blocks import Page, Text
from encbench_leaderboard.report.format import code

from encbench.errors import EncbenchError
from tests.leaderboard.render.html.pages import page


@pytest.fixture(scope="module")
def text(tmp_path_factory: pytest.TempPathFactory) -> str:
    """A page full of hostile names."""
    return html_page(page(tmp_path_factory.mktemp("page")))


class Elements(HTMLParser):
    """Every element's name and attributes, as a browser reads them."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


def test_the_page_refers_to_nothing_that_is_not_asked_for(text: str) -> None:
    names = ("src", "href", "action", "srcset", "poster")
    refers = {of.get(name) or "" for _, of in Elements(text).found for name in names}
    # Only a reader follows a link in a text.
    outside = {link for link in refers if link and not link.startswith(("#", "data:"))}
    assert outside == {"https://example.org/paper"}
    assert "@import" not in text.partition("</style>")[0]


def test_the_policy_allows_these_scripts_and_this_style_and_no_other(text: str) -> None:
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].replace("&#39;", "'").split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data: blob:"

    def hashes(tag: str) -> list[str]:
        bodies = re.findall(rf"<{tag}>(.*?)</{tag.split()[0]}>", text, flags=re.DOTALL)
        digests = [hashlib.sha256(body.encode()).digest() for body in bodies]
        return [f"'sha256-{base64.b64encode(digest).decode()}'" for digest in digests]

    # Plotly is in the page as text, and runs when the first figure is scrolled to.
    assert rules["script-src"].split() == [
        *hashes("script"),
        *hashes('script type="text/plain" id="plotly"'),
    ]
    nothing = "'sha256-47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU='"
    assert rules["style-src"].split() == [*hashes("style"), nothing]


def test_no_attribute_holds_script_or_style(text: str) -> None:
    attributes = {name for _, of in Elements(text).found for name in of}
    assert not {name for name in attributes if name == "style" or name.startswith("on")}


def test_foreign_text_is_text_everywhere(text: str) -> None:
    assert text.count("<script") == text.count("</script>")
    assert "<!--" not in text
    tags = [tag for tag, _ in Elements(text).found]
    # Those of the widgets that compare two pictures.
    assert tags.count("img") == 2 * text.count('class="compare"')
    assert text.count("window.hacked=1") > 0


def test_prose_keeps_foreign_markup_as_text() -> None:
    html = to_html(
        "a <b>bold</b> [x](javascript:alert) <https://z>\n\n- `<i>` **s** *e*\n\n![y](data:a)"
    )
    for tag in ("<b>", "<a ", "<img", "<i>"):
        assert tag not in html
    assert "<li><code>&lt;i&gt;</code> <strong>s</strong> <em>e</em></li>" in html


def test_a_name_in_prose_can_be_found_as_it_is_typed_and_wraps_after_commas() -> None:
    html = to_html(f"best: {code('mpe:resolutions=[16,32],file=a|b')}")
    assert html == "<p>best: <code>mpe:resolutions=[16,<wbr>32],<wbr>file=a|b</code></p>\n"


def test_text_in_a_figure_is_neither_markup_nor_template() -> None:
    assert escaped("<b>%{x}&lt;") == "&#60;b&#62;%&#123;x}&#38;lt;"


def test_nothing_in_a_library_ends_its_script() -> None:
    for script in (document.datatables_js(), document.plotly_js()):
        assert not re.search(r"<!--|</?script", script, flags=re.IGNORECASE)


def test_another_bundle_of_tables_is_one_clear_error(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    bundle = tmp_path / "bundle.js"
    bundle.write_text("var table = 1;")
    monkeypatch.setattr("itables.options.dt_bundle", bundle)
    with pytest.raises(EncbenchError, match=r"no default export; install the version"):
        document.datatables_js.__wrapped__()


def test_a_page_without_tasks_tables_or_figures_is_a_page() -> None:
    text = html_page(Page("Nothing", [Text("No *records*.")], []))
    assert "No <em>records</em>." in text
    assert 'id="task"' not in text
