"""The page is one file that lets nothing in or out."""

from __future__ import annotations

import base64
import hashlib
import re

from encbench_leaderboard.render.html.prose import to_html

from encbench.results.records import ErrorInfo
from tests.leaderboard.results import Results, provenance
from tests.leaderboard.test_html.data import data_of, page

HOSTILE = "</script><script>alert(1)</script><img src=x onerror=alert(2)>'\"&amp;<!--"


def test_the_page_refers_to_nothing_outside_itself(results: Results) -> None:
    results.add("a")
    text = page(results)
    markup = re.sub(r"<script>.*?</script>", "", text, flags=re.DOTALL)
    refers = re.findall(r"""(?:src|href|action|srcset|poster)\s*=\s*["']?([^"'\s>]+)""", markup)
    assert {link for link in refers if not link.startswith(("#", "data:"))} == set()
    assert not re.search(r"@import|url\(|fetch\(|XMLHttpRequest|WebSocket|sendBeacon", text)


def test_the_policy_allows_this_script_and_this_style_and_no_other(results: Results) -> None:
    results.add("a")
    text = page(results)
    policy = re.search(r'Content-Security-Policy" content="([^"]+)"', text)
    assert policy
    rules = dict(rule.strip().split(" ", 1) for rule in policy[1].replace("&#39;", "'").split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["img-src"] == "data:"
    for name, tag in (("script-src", "script"), ("style-src", "style")):
        bodies = re.findall(rf"<{tag}>(.*?)</{tag}>", text, flags=re.DOTALL)
        assert len(bodies) == 1
        digest = base64.b64encode(hashlib.sha256(bodies[0].encode()).digest()).decode()
        assert rules[name] == f"'sha256-{digest}'"


def test_no_attribute_holds_script_or_style(results: Results) -> None:
    results.add("a")
    results.add("b", task="other")
    markup = re.sub(r"<(script|style)[ >].*?</\1>", "", page(results), flags=re.DOTALL)
    assert not re.search(r"<[^>]+\s(on\w+|style)\s*=", markup)


def test_foreign_text_is_text_everywhere(results: Results) -> None:
    results.add(f"a{HOSTILE}", task=f"image:{HOSTILE}")
    results.add(f"a{HOSTILE}", task=f"image:other{HOSTILE}", provenance=provenance(os=HOSTILE))
    error = ErrorInfo(type="ValueError", message=HOSTILE)
    results.add("c", task=f"image:{HOSTILE}", status="failed", error=error, psnr=None)
    results.store.write_suite({"name": HOSTILE})
    text = page(results)
    assert text.count("<script") == text.count("</script>") == 2
    assert "<img" not in text
    assert "<!--" not in text
    found = data_of(text)
    assert f"a{HOSTILE}" in [entry["label"] for entry in found["entries"]]
    assert any(HOSTILE in told for told in found["texts"])


def test_prose_keeps_foreign_markup_as_text() -> None:
    html = to_html(
        "a <b>bold</b> [x](javascript:alert) ![y](http://z/i.png)\n\n| n |\n|--:|\n| 1 |"
    )
    assert "<b>" not in html
    assert "<a" not in html
    assert "<img" not in html
    assert "style=" not in html
    assert '<td class="num">1</td>' in html
