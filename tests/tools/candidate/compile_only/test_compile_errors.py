"""A kernel that does not compile is placed in a file and line that its author wrote."""

from __future__ import annotations

import ast
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.candidate.compile_only.compile_errors import (
    assembler_words,
    block_sizes,
    in_python,
    not_compiled,
    place_of,
    source_line,
)
from kernel_harness.tools.candidate.faults import own_line

KERNEL = "def k(x):\n    y = 1\n    z = nowhere\n"
FILE = f"import triton\n\n\n@triton.jit\n{KERNEL}\n\ndef run(x):\n    pass\n"
PTX = """.version 8.0
.visible .entry first(
)
.maxntid 128, 2
{
    .loc 1 7 3
    mov.u32 %r1, %r2;
    .loc 2 21 3
    wgmma.fence.sync.aligned;
}
.visible .entry second(
)
{
    nothing.placed;
}
.file 1 "/private/src/kernel.cu"
.file 2 "/private/src/inner.cuh"
"""


class Refused(Exception):
    """Like Triton's own: a function's text, a node of it, and words."""

    def __init__(self, src: str, line: int, words: str | None) -> None:
        super().__init__(words)
        self.src, self.error_message = src, words
        self.node = ast.Name(id="nowhere", lineno=line, col_offset=8)


def raised(error: BaseException, cause: BaseException | None = None) -> BaseException:
    try:
        raise error from cause
    except type(error) as caught:
        return caught


def test_a_line_counted_from_the_def_becomes_a_line_of_the_file(tmp_path: Path):
    (tmp_path / "kernel.py").write_text(FILE)
    error = raised(Refused(KERNEL, 3, "nowhere is not defined"))
    said = not_compiled(error, error, tmp_path)
    assert said.splitlines()[0] == "kernel.py:7: nowhere is not defined"
    assert "    z = nowhere\n        ^" in said


def test_the_innermost_function_is_named_and_not_the_one_that_called_it(tmp_path: Path):
    inner = "def inner(x):\n    return x + 'a'\n"
    (tmp_path / "kernel.py").write_text(FILE)
    (tmp_path / "more.py").write_text(f"@triton.jit\n{inner}")
    outer = raised(Refused(KERNEL, 2, None), raised(Refused(inner, 2, "no such sum")))
    assert not_compiled(outer, outer, tmp_path).startswith("more.py:3: no such sum")


def test_a_function_of_a_library_keeps_the_line_it_has_within_itself(tmp_path: Path):
    error = raised(Refused("def theirs():\n    pass\n", 2, "no"))
    assert not_compiled(error, error, tmp_path).startswith("line 2 of the kernel: no")


def test_the_launch_is_named_by_the_candidate_s_own_innermost_frame(tmp_path: Path):
    source = tmp_path / "kernel.py"
    source.write_text("def run():\n    raise ValueError('no grid')\n")
    space: dict = {}
    exec(compile(source.read_text(), str(source), "exec"), space)
    try:
        space["run"]()
    except ValueError as error:
        assert own_line(error, tmp_path) == "kernel.py:2 in run: raise ValueError('no grid')"
        assert own_line(error, Path("/elsewhere")) is None
        said = not_compiled(error, error, tmp_path, "k")
        assert said.splitlines()[0] == "k: ValueError: no grid"


def test_an_assembler_s_line_becomes_the_source_s(tmp_path: Path):
    file = tmp_path / "k.ptx"
    file.write_text(PTX)
    log = (
        f"ptxas {file}, line 9; error   : Instruction 'wgmma.fence' not supported\n"
        f"ptxas {file}, line 14; error   : Not a name\n"
        "ptxas fatal   : Ptx assembly aborted due to errors\n"
        "ptxas /gone/k.ptx, line 3; error   : Unknown symbol\n"
    )
    assert assembler_words(log, Path("/private/src")).splitlines() == [
        "inner.cuh:21: Instruction 'wgmma.fence' not supported",
        "inline assembly: Not a name",
        "inline assembly: Unknown symbol",
    ]
    assert assembler_words("nvcc fatal : no input files", Path("/private/src")) == ""


def test_block_sizes_are_those_that_the_source_states():
    assert block_sizes(PTX) == {"first": 256}
    assert block_sizes("") == {}


@given(st.text(max_size=300), st.integers(-5, 400))
def test_no_assembly_breaks_the_reading(text, line):
    assert source_line(text, line) is None or isinstance(source_line(text, line), tuple)
    assert all(size >= 0 for size in block_sizes(text).values())


@given(st.lists(st.sampled_from(["a", " b", "", "def k():", "  c"]), min_size=1, max_size=8))
def test_a_function_is_found_where_it_stands(rows):
    text = "def here():\n" + "\n".join(f"    {row.strip() or 'x'}" for row in rows)
    found = place_of(text, 2, {"a.py": "\n".join(rows), "b.py": "\n".join(rows) + "\n" + text})
    assert found == ("b.py", len(rows) + 2)


def test_an_error_of_a_text_that_python_made_is_placed_where_the_text_is_stated(tmp_path: Path):
    text = "\n__global__ void f() {\n    int x = blockIdy.x;\n}\n"
    (tmp_path / "kernel.py").write_text(f'import torch\n\nSOURCE = r"""{text}"""\n')
    words = 'inline_0.cu(3): error: "blockIdy" is undefined\ninline_0.cu(99): fatal error'
    told = in_python(words, "inline_0.cu", text, tmp_path)
    assert told == words.replace("inline_0.cu(3)", "kernel.py(5)")
    (tmp_path / "other.py").write_text(text)
    assert in_python(words, "inline_0.cu", text, tmp_path) == words
