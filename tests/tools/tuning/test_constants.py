"""A program's constants by name: found in one source, given other values, or refused in words."""

from __future__ import annotations

import pytest

from kernel_harness.tools.errors import RequestError
from kernel_harness.tools.schema.flashinfer_trace import Solution
from kernel_harness.tools.tuning.constants import MOST_CHARACTERS, Constants

SOURCES = {
    "main.py": "from other import LATER\nBLOCK = 64\nWARPS = 4\n_tile = {'BM': 1}\n"
    "def run(x, y):\n    y.copy_(x)\n",
    "other.py": "LATER = 1\nBOTH = 1\n",
    "kernel.cu": "#define DEPTH 2\n#define BOTH 3\n",
}


def program(**more: str) -> Solution:
    sources = SOURCES | {name.replace("__", "."): text for name, text in more.items()}
    return Solution.model_validate(
        {
            "name": "mine",
            "definition": "double",
            "author": "test",
            "spec": {
                "language": "triton",
                "target_hardware": ["cuda"],
                "entry_point": "main.py::run",
            },
            "sources": [{"path": path, "content": text} for path, text in sources.items()],
        }
    )


def texts(solution: Solution) -> dict[str, str]:
    return {source.path: source.content for source in solution.sources}


def test_constants_of_several_sources_are_given_values_together():
    values = {"BLOCK": 32, "other.py::BOTH": 5, "DEPTH": 4, "_tile.BM": 8}
    found = Constants(program(), list(values)).with_values(values, "mine 32")
    assert texts(found) == {
        "main.py": SOURCES["main.py"].replace("64", "32").replace("'BM': 1", "'BM': 8"),
        "other.py": "LATER = 1\nBOTH = 5\n",
        "kernel.cu": "#define DEPTH 4\n#define BOTH 3\n",
    }
    assert found.name == "mine 32" and found.spec == program().spec


def test_some_of_the_constants_may_be_left_as_they_are():
    constants = Constants(program(), ["BLOCK", "WARPS"])
    assert constants.with_values({"BLOCK": 64}, "same").content_hash() == program().content_hash()


@pytest.mark.parametrize(
    ("names", "words"),
    [
        (["BOTH"], r"Name other\.py::BOTH or kernel\.cu::BOTH"),
        (["nowhere"], "no source assigns it"),
        (["LATERR"], "no source assigns it"),
        (["nowhere.py::BLOCK"], "The sources are main.py"),
        (["run"], "the entry point"),
        (["BLOCK", "main.py::BLOCK"], "are one place"),
        (["_tile", "_tile.BM"], "are one place"),
        ([""], "cannot name"),
        (["A" * 300], "cannot name"),
        (["BLO\x1b[2JCK"], "cannot name"),
    ],
)
def test_what_cannot_be_changed_is_refused_in_words(names, words):
    with pytest.raises(RequestError, match=words):
        Constants(program(), names)


@pytest.mark.parametrize(
    "value", [float("nan"), float("inf"), object(), b"a", {1, 2}, "x" * 2_000, [[[[[[1]]]]]], 1j]
)
def test_what_is_no_literal_is_refused(value):
    with pytest.raises(RequestError, match="The value of 'BLOCK'"):
        Constants(program(), ["BLOCK"]).with_values({"BLOCK": value}, "bad")


def test_a_text_where_a_number_stands_is_refused():
    """It was compiled, and the answer cut what the compiler said of it."""
    values = {"BLOCK": "four"}
    with pytest.raises(RequestError, match=r"'four' of 'BLOCK' is a text, where main\.py .* 64"):
        Constants(program(), ["BLOCK"]).with_values(values, "bad")
    words = {"MODE": "slow", "WARPS": 4.5, "main.py::BLOCK": None, "DEPTH": "OTHER"}
    more = program(mode__py="MODE = 'fast'\n")
    Constants(more, list(words)).with_values(words, "good")


def test_a_source_that_is_too_long_to_be_read_is_said():
    long = program(long__py="HERE = 1\n" + "#" * MOST_CHARACTERS)
    with pytest.raises(RequestError, match="more than the"):
        Constants(long, ["HERE"])


def test_a_refusal_names_the_constants_that_there_are():
    launched = "def run(x, y):\n    TOP = 1\n    step[(1,)](x, y, num_warps=4, N=x.numel())\n"
    with pytest.raises(RequestError) as refused:
        Constants(program(launch__py=launched), ["nowhere"])
    listed = refused.value.remedy.partition(". ")[0]
    assert listed == "It holds BLOCK, WARPS, _tile, LATER, BOTH, DEPTH, num_warps, TOP"
