"""Texts of candidates and compilers cannot redraw a terminal, forge a line or grow without end."""

import ast
import json
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.text import (
    one_line,
    printable,
    python_expression,
    python_tree,
    readable_json,
    short_uuid,
    shorten,
    visible,
)

AWKWARD = st.text(st.sampled_from("ab \n\t\r\x1b[]0;m\x07\x9b\x00\u202e\u200b\u2028\u00a0é"))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("plain\n\twords", "plain\n\twords"),
        ("\x1b[31mred\x1b[0m", "red"),
        ("\x9b31mred", "red"),
        ("\x1b]0;a title\x07after", "after"),
        ("\x1b]8;;http://x\x1b\\link", "link"),
        ("honest\rforged", "honest\nforged"),
        ("one\r\ntwo", "one\ntwo"),
        ("admin\u202etxt", "admintxt"),
        ("a\u200bb\x00c\x07", "abc"),
        ("a\u00a0b\u2028c", "a b c"),
    ],
)
def test_printable_text_moves_no_cursor(text, shown):
    assert printable(text) == shown


@given(AWKWARD)
def test_cleaned_text_is_printable_and_stays_as_it_is_when_cleaned_again(text):
    clean = printable(text)
    assert all(c.isprintable() or c in "\n\t" for c in clean)
    assert printable(clean) == clean


@given(AWKWARD)
def test_visible_text_prints_every_character(text):
    assert all(c.isprintable() or c in "\n\t" for c in visible(text))
    assert text.isprintable() == (visible(text) == text) or set(text) & set("\n\t")


def test_what_reorders_or_hides_code_shows():
    assert visible("if a:\n\tb\u202e\x1b[2J\x9b\r é") == "if a:\n\tb\\u202e\\x1b[2J\\x9b\\r é"


@given(AWKWARD, st.integers(1, 12))
def test_one_line_is_one_line_of_at_most_that_length(text, limit):
    line = one_line(text, limit)
    assert "\n" not in line and "\t" not in line and len(line) <= limit


@given(st.text(st.sampled_from("ab\n\x1b"), max_size=400), st.integers(1, 200))
def test_a_shortened_text_has_its_length_and_says_that_it_was_cut(text, limit):
    short, whole = shorten(text, limit), printable(text)
    assert len(short) <= limit
    assert short == whole if len(whole) <= limit else "…" in short


def test_a_long_text_keeps_its_head_and_its_end():
    short = shorten("head" + "x" * 10_000 + "tail", 500)
    assert short.startswith("head") and short.endswith("tail") and "9,548 characters" in short


def test_a_sentence_that_is_cut_stays_a_line():
    short = shorten("head " + "x" * 300 + " tail", 200)
    assert len(short) == 200 and "\n" not in short and " … " in short
    assert short.startswith("head") and short.endswith("tail")


def test_python_is_parsed_by_one_thread_at_a_time(monkeypatch):
    """Two at once raised "AST constructor recursion depth mismatch" when several were evaluated."""
    parse, inside, most = ast.parse, 0, 0
    others = threading.Event()

    def counted(*given, **chosen):
        nonlocal inside, most
        inside += 1
        most = max(most, inside)
        others.wait(0.02)  # for a second thread to come in, where one may
        inside -= 1
        return parse(*given, **chosen)

    monkeypatch.setattr(ast, "parse", counted)
    work = [lambda: python_tree("x = 1"), lambda: python_expression("x + 1")] * 2
    threads = [threading.Thread(target=one) for one in work]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most == 1
    assert ast.unparse(python_expression("x+1")) == "x + 1"


@pytest.mark.parametrize(
    ("uuid", "short"),
    [
        ("901e5104-dccb-4c3f-ae13-ef4d31a4d456", "901e5104"),
        ("0c23b10c7b7645719517828c12eaa1d2", "0c23b10c"),
        ("prefill-512", "prefill-512"),
        ("prefill-1024", "prefill-1024"),
        ("01890a5d-ac96-774b-bcce-b302099a8057", "01890a5d-ac96-774b-bcce-b302099a8057"),
    ],
)
def test_a_short_uuid_is_that_of_no_other(uuid, short):
    assert short_uuid(uuid) == short


@given(
    st.recursive(
        st.none() | st.booleans() | st.integers() | st.text(max_size=30),
        lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=9), inner),
        max_leaves=30,
    )
)
def test_readable_json_is_json_of_the_same_and_no_longer_than_a_line_for_each_value(value):
    text = readable_json(value)
    assert json.loads(text) == value
    assert len(text) <= len(json.dumps(value, indent=1, ensure_ascii=False))


def test_readable_json_has_a_line_for_what_fits_one():
    value = {"grid": [64, 8, 4], "kernels": [{"name": "a" * 60}, {"name": "b" * 60}]}
    assert readable_json(value).splitlines() == [
        "{",
        ' "grid": [64, 8, 4],',
        ' "kernels": [',
        f'  {{"name": "{"a" * 60}"}},',
        f'  {{"name": "{"b" * 60}"}}',
        " ]",
        "}",
    ]
