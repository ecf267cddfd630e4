"""The text form of a name with parameters."""

import re
import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from encbench import UnknownNameError, UsageError, default_registry
from encbench.plugins.selector import format_selector, parse_selector, split_label


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("identity", ("identity", {})),
        ("ffe:levels=8", ("ffe", {"levels": 8})),
        ("mpe:resolutions=[96,277],k=2", ("mpe", {"resolutions": [96, 277], "k": 2})),
        ("some-dist:ffe:levels=8", ("some-dist:ffe", {"levels": 8})),
        ("some-dist:ffe", ("some-dist:ffe", {})),
        ("image:image=C:/photos/a.png", ("image", {"image": "C:/photos/a.png"})),
        ('image:image="a,b.png",side=3', ("image", {"image": "a,b.png", "side": 3})),
        ("x:flag=true,rate=1e-3", ("x", {"flag": True, "rate": 1e-3})),
        ("image:image=it's.png,side=4", ("image", {"image": "it's.png", "side": 4})),
        ("image:image=a[1.png,side=4", ("image", {"image": "a[1.png", "side": 4})),
        ("image:image=2024-05-01,side=4", ("image", {"image": "2024-05-01", "side": 4})),
        ("image:image=5 #2", ("image", {"image": "5 #2"})),
        ('image:image="a,ü😀.png"', ("image", {"image": "a,ü😀.png"})),
    ],
)
def test_text_is_split_into_name_and_typed_parameters(text, expected):
    assert parse_selector(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("ffe as F", ("ffe", "F")),
        ("hashgrid:levels=8  as  hash 8×2^14 ", ("hashgrid:levels=8", "hash 8×2^14")),
        ("mpe:resolutions=[64] as MPE L=1", ("mpe:resolutions=[64]", "MPE L=1")),
        ("image:image=me as a child,side=8", ("image:image=me as a child,side=8", None)),
        ('image:image="me as a child"', ('image:image="me as a child"', None)),
        ("classic", ("classic", None)),
        ("ffe as ", ("ffe as ", None)),
    ],
)
def test_a_label_follows_the_last_as(text, expected):
    assert split_label(text) == expected
    written = format_selector("image", {"image": "me as a child"})
    assert split_label(written) == (written, None)


@pytest.mark.parametrize(
    "text",
    ["levels=8", "ffe:levels=8,convention", "ffe:a=1,a=2", "ffe:=3", "mpe:a=[1,2", "mpe:a='b,c=1"],
)
def test_what_is_not_key_value_is_refused_in_one_line(text):
    with pytest.raises(UsageError) as caught:
        parse_selector(text)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "an empty name"),
        (" ", "an empty name"),
        ("ffe:", "'ffe:' has no parameters"),
        ("theirs:ffe:", "'theirs:ffe:' has no parameters"),
        (":levels=8", "has parameters but no name"),
        ("ffe:levels=8,", "has an empty part; leave out the comma"),
        ("ffe:levels=8,,convention=nerf", "has an empty part"),
    ],
)
def test_what_is_empty_is_said_to_be(text, words):
    with pytest.raises(UsageError, match=words):
        parse_selector(text)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("ffe:levls", "; did you mean 'ffe:levels=VALUE'? Write a parameter as ffe:KEY=VALUE"),
        ("ffe:xyz", "; write a parameter as ffe:KEY=VALUE"),
    ],
)
def test_a_parameter_without_a_value_gets_the_nearest(text, words):
    with pytest.raises(UnknownNameError, match=re.escape(words)):
        default_registry().choose("encoding", text)


names = st.text(string.ascii_lowercase, min_size=1, max_size=6)
scalars = (
    st.integers(-999, 999)
    | st.booleans()
    | st.floats(allow_nan=False, allow_infinity=False, width=32)
    | st.text(string.ascii_letters + string.digits + ',=[]". /', max_size=8)
    | st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
)


@given(names, st.dictionaries(names, scalars | st.lists(scalars, max_size=3), max_size=3))
def test_formatting_is_the_inverse_of_parsing(name, parameters):
    assert parse_selector(format_selector(name, parameters)) == (name, parameters)


@given(st.text(max_size=12))
def test_a_selector_is_one_printable_line_whatever_a_file_is_called(name):
    text = format_selector("image", {"image": name})
    assert text.isprintable() or not name.isprintable()
    assert "\n" not in text
