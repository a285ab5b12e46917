"""Sources in a namespace: what is enclosed, what stays outside, and what cannot be done."""

from __future__ import annotations

import pytest

from kernel_harness.tools.archive.search.dispatch.cpp_namespace import (
    in_namespace,
    shared_linkage,
    why_not,
)

FILES = {
    "src/kernel.cu": """#define FAST 1
#include <cuda_runtime.h>
#ifdef FAST
#  include "cuda_bf16.h"  // theirs
#endif
#include "lib/pieces.cuh"
#include "near.h"
__global__ void k() { const char* s = "#include <x> }"; /* #include <y> { */ }
""",
    "src/near.h": "#pragma once\n#include <cmath>\nstruct S {};\n",
    "lib/pieces.cuh": "#pragma once\n",
}


def test_headers_of_others_are_included_outside_and_nothing_else_changes():
    found = in_namespace(FILES, "part", "#define NAME part\n")
    assert found["src/kernel.cu"] == (
        """#define NAME part
namespace part {
#define FAST 1
}
#include <cuda_runtime.h>
namespace part {
#ifdef FAST
}
#  include "cuda_bf16.h"  // theirs
namespace part {
#endif
#include "../lib/pieces.cuh"
#include "near.h"
__global__ void k() { const char* s = "#include <x> }"; /* #include <y> { */ }

}  // namespace part
"""
    )
    assert found["src/near.h"] == (
        "#pragma once\n}\n#include <cmath>\nnamespace part {\nstruct S {};\n"
    )
    assert found["lib/pieces.cuh"] == FILES["lib/pieces.cuh"]
    assert why_not(FILES) == ""


@pytest.mark.parametrize(
    ("files", "words"),
    [
        ({"a.cu": "#include HEADER\n"}, "a.cu includes what a macro names"),
        ({"a.cu": '#include "b.cu"\n', "b.cu": ""}, "includes b.cu, which is compiled by itself"),
        ({"a.cu": 'extern "C" {\n#include <cuda.h>\n}\n'}, "includes cuda.h between braces"),
        (
            {"a.cu": 'namespace n {\n#include "b.h"\n}\n', "b.h": "#include <cmath>\n"},
            "b.h includes cmath between braces",
        ),
        ({"a.cu": '#include "b.h"\n', "b.h": '{\n#include "b.h"\n'}, "includes b.h between braces"),
    ],
)
def test_what_an_include_makes_impossible_is_said(files, words):
    assert words in why_not(files)


@pytest.mark.parametrize(
    "text",
    [
        'int cases[] = {\n#include "cases.h"\n};\n',
        'auto source = R"x({ " )" #include <nothing> {)x";\n#include <cmath>\n',
        "char c = '{', d = '\\'', e = '\"';\nint n = 1'000'000;\n#include <cmath>\n",
        "// a brace { of no account\n/* {\n{ */\n#include <cmath>\n",
    ],
)
def test_braces_of_texts_and_comments_do_not_count_nor_does_an_own_list(text):
    assert why_not({"a.cu": text, "cases.h": "1, 2,\n"}) == ""


def test_names_that_no_namespace_tells_apart_are_seen():
    assert shared_linkage('extern "C" void launch();') and shared_linkage("TORCH_LIBRARY(a, m) {}")
    assert not shared_linkage('// extern "C"\nchar* s = "TORCH_LIBRARY";')
