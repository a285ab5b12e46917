"""A candidate's failure in its own words, cut to what helps."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kernel_harness.tools.candidate.faults import (
    CandidateError,
    compiler_excerpt,
    cut,
    fault_of,
)
from kernel_harness.tools.messages.frames import EXCERPT_CHARACTERS
from tests.folding import for_each

SOURCES = Path("/private/src/candidate_1")
NVCC = """/private/src/candidate_1/kernel.cu(3): warning #177-D: variable "unused" was declared
    int unused;
        ^
/private/src/candidate_1/kernel.cu(7): error: identifier "blockIdy" is undefined
    int i = blockIdy.x;
            ^
1 error detected in the compilation of "/private/src/candidate_1/kernel.cu".
ninja: build stopped: subcommand failed.
"""


@given(st.text(max_size=400), st.integers(80, 300))
def test_a_cut_text_fits_and_keeps_both_ends(text, limit):
    short = cut(text, limit)
    assert len(short) <= limit
    assert short[:10] == text[:10].encode("utf-8", "replace").decode()
    assert len(text) > limit or short == text.encode("utf-8", "replace").decode()


def test_surrogates_do_not_break_the_frame():
    CandidateError("exception", "lone \udcff surrogate").fault.model_dump_json()


@for_each(
    "error, kind",
    [
        (ValueError("x"), "exception"),
        (KeyboardInterrupt(), "exception"),
        (SystemExit(3), "exit"),
        (MemoryError(), "out_of_memory"),
        (RuntimeError("CUDA out of memory. Tried to allocate"), "out_of_memory"),
        (RuntimeError("CUDA error: device-side assert triggered"), "cuda_error"),
        (type("OutOfResources", (Exception,), {})("shared memory"), "out_of_resources"),
        (type("CompilationError", (Exception,), {})("at 3:4"), "compile_error"),
        (AttributeError("'CudaDriver' object has no attribute 'x'"), "interpreter_limit"),
        (CandidateError("signature", "takes two"), "signature"),
        (AssertionError("Torch not compiled with CUDA enabled"), "needs_gpu"),
        (RuntimeError("Tried to instantiate dummy base class CUDAGraph"), "needs_gpu"),
        (ImportError("libcudart.so.13: cannot open shared object file"), "needs_gpu"),
        (OSError("libnvrtc.so.12: cannot open shared object file"), "needs_gpu"),
        (OSError("libcublasLt.so: cannot open shared object file"), "needs_gpu"),
        (OSError("libcudax_of_mine.so: cannot open shared object file"), "exception"),
        (OSError("CUDA_HOME environment variable is not set."), "toolchain"),
        (ModuleNotFoundError("No module named 'cutlass'", name="cutlass.cute"), "missing_package"),
        (ModuleNotFoundError("No module", name="triton.language.extra.tlx"), "missing_package"),
        (ModuleNotFoundError("No module", name="triton.language.extra.libdevices"), "exception"),
        (ModuleNotFoundError("No module named 'cutlas'", name="cutlas"), "exception"),
    ],
)
def test_exceptions_have_kinds(error, kind):
    assert fault_of(error, SOURCES).kind == kind


def test_an_exception_tells_the_line_of_the_source_that_it_left(tmp_path):
    """`not enough values to unpack` alone does not say where."""
    source = tmp_path / "kernel.py"
    source.write_text("import json\n\n\ndef run(text):\n    return json.loads(text)\n")
    space: dict[str, Any] = {}
    exec(compile(source.read_text(), str(source), "exec"), space)
    with pytest.raises(ValueError) as caught:
        space["run"]("[")
    message = fault_of(caught.value, tmp_path).message
    assert message.endswith(" (kernel.py:5 in run: return json.loads(text))")
    assert (
        fault_of(ValueError("of nobody's line"), tmp_path).message == "ValueError: of nobody's line"
    )


def test_an_error_of_cuda_that_begins_with_an_empty_line_is_told():
    """CuTe's do: of NOT_JUDGED nothing was left but that the machine cannot judge it."""
    fault = fault_of(RuntimeError("\nerror: cudaErrorInsufficientDriver (35)\n\n"), SOURCES)
    assert (fault.kind, fault.message) == (
        "cuda_error",
        "error: cudaErrorInsufficientDriver (35)",
    )


def test_what_torchs_own_cuda_raises_is_the_machines():
    code = compile("def split():\n    return None.split()\n", "/lib/torch/cuda/_utils.py", "exec")
    space: dict[str, Any] = {}
    exec(code, space)
    with pytest.raises(AttributeError) as caught:
        space["split"]()
    fault = fault_of(caught.value, SOURCES)
    assert (
        fault.kind == "needs_gpu" and "split of torch.cuda raised AttributeError" in fault.message
    )


def test_a_syntax_error_shows_its_line_and_a_caret():
    with pytest.raises(SyntaxError) as caught:
        compile("x = 1\n    y = = 2\n", "kernel.py", "exec")
    message = fault_of(caught.value, SOURCES).message
    place, line, caret = message.split("\n")[0], *message.split("\n")[1:3]
    assert "kernel.py, line 2" in place
    assert line.strip().startswith("y =") and caret.strip() == "^"


def test_the_excerpt_holds_the_first_error_with_its_source_and_no_noise():
    excerpt = compiler_excerpt(NVCC, SOURCES)
    assert excerpt.splitlines()[:3] == [
        'kernel.cu(7): error: identifier "blockIdy" is undefined',
        "    int i = blockIdy.x;",
        "            ^",
    ]
    assert "warning" not in excerpt and "ninja" not in excerpt and "/private" not in excerpt


def test_a_thousand_errors_are_cut_to_the_first_few():
    log = "\n".join(f"a.cu({i}): error: bad {i}\n x\n x\n x\n x\n x\n x\n x" for i in range(1000))
    excerpt = compiler_excerpt(log, SOURCES)
    assert "bad 0" in excerpt and "bad 3" in excerpt and "bad 4" not in excerpt
    assert len(excerpt) < EXCERPT_CHARACTERS


def test_a_log_without_an_error_line_shows_its_end():
    assert compiler_excerpt("a\nb\nc\n", SOURCES) == "a\nb\nc"
