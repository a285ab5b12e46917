"""What counts as the same program."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.archive.store.normalise import MOST_PARSED, normalised_source


@pytest.mark.parametrize(
    ("path", "a", "b"),
    [
        ("k.py", "x = 1  # one\n\n\ny=2", "x=1\ny = 2\n"),
        ("k.py", 'def f():\n    "doc"\n    return 1', "def f():\n  return (1)"),
        ("k.cu", "int  a = 1; // one\n", "int a=1;"),
        ("k.cu", "a /* x */ = b;", "a=b;"),
        ("k.cu", "#define N 4 // four\nint a;", "#define N 4\nint a;"),
        ("k.toml", "a = 1  \n", "a = 1"),
    ],
)
def test_comments_and_formatting_do_not_count(path, a, b):
    assert normalised_source(path, a) == normalised_source(path, b)


@pytest.mark.parametrize(
    ("path", "a", "b"),
    [
        ("k.py", "x = '# one'", "x = '# two'"),
        ("k.py", "x = 1", "x = 1.0"),
        ("k.py", "if a:\n  b\nc", "if a:\n  b\n  c"),
        ("k.cu", "int ab;", "int a b;"),
        ("k.cu", 's = "// a";', 's = "// b";'),
        ("k.cu", "#define A 1\nB", "#define A 1 B"),
        ("k.cu", "a = b / /* */ c;", "a = b * c;"),
        ("k.cu", 'R"(a // b)"', 'R"(a // c)"'),
        ("k.py", "x = = 1", "x = = 2"),
    ],
)
def test_what_changes_the_program_counts(path, a, b):
    assert normalised_source(path, a) != normalised_source(path, b)


@given(st.text(max_size=200), st.sampled_from(["k.py", "k.cu", "k.txt"]))
def test_any_text_is_normalised_without_an_error(text, path):
    assert normalised_source(path, text) == normalised_source(path, text)


@pytest.mark.parametrize("deep", ["-" * 100_000 + "1", "x" + "[0]" * 50_000, "(" * 1000])
def test_what_is_nested_too_deeply_to_be_parsed_is_told_apart_by_its_text(deep):
    one, other = (normalised_source("a.py", f"{deep}; {word}") for word in ("one", "two"))
    assert one != other


PROGRAM = 'def run(x):\n    """{}"""\n    y = "# kept"  {}\n    return (x,\n        y)\n{}'


@pytest.mark.parametrize(
    "padded",
    [
        PROGRAM.format("doc", "# " + "one " * 30_000, ""),
        PROGRAM.format("doc", "", "# line of a comment\n" * 10_000),
        PROGRAM.format("a long doc\n" * 10_000, "", ""),
        PROGRAM.format("doc", "", "\n" * 100_000),
    ],
    ids=["a comment", "comments", "a docstring", "blank lines"],
)
def test_padding_a_program_beyond_what_is_parsed_makes_no_other_program(padded):
    assert len(padded) > MOST_PARSED
    assert normalised_source("k.py", padded) == normalised_source(
        "k.py", PROGRAM.format("", "", "")
    )


def test_a_long_program_is_compared_without_being_parsed(monkeypatch):
    monkeypatch.setattr(f"{normalised_source.__module__}.ast", None)
    long = "".join(f"x{n} = {n}  # {n}\n" for n in range(20_000))
    assert normalised_source("k.py", long) == normalised_source("k.py", long.replace("  #", " #"))
    assert normalised_source("k.py", long) != normalised_source("k.py", long + "y = 1\n")
