"""Triton's forms are shown with the source's lines, and without its tables of locations."""

from __future__ import annotations

from kernel_harness.tools.profiling.code.locations import located
from tests.folding import for_each

TEXT = """\
#blocked = #ttg.blocked<{order = [1, 0]}>
#loc = loc("/tmp/made/src/kernel.py":13:0)
#loc1 = loc(unknown)
#loc2 = loc("/tmp/made/src/kernel.py":40:16)
#loc3 = loc("/site-packages/triton/language/standard.py":287:12)
#loc12 = loc("recalled"(#loc2))
#loc13 = loc(callsite(#loc1 at #loc12))
#loc14 = loc(callsite(#loc3 at #loc2))
#loc15 = loc(fused[#loc1, #loc2])
#loc16 = loc("again"(#loc16))
module attributes {ttg.target = "cuda:90"} {
  tt.func public @step(%q: !tt.ptr<bf16> {a = 16 : i32} loc("q"(#loc)), %n: i32 loc("n"(#loc))) {
    %c = arith.constant 2 : i32 loc(#loc1)
    %at = tt.get_program_id x : i32 loc(#loc12)
    %r = "tt.reduce"(%at) <{axis = 0 : i32}> ({
    ^bb0(%a: f32 loc(callsite(#loc1 at #loc12)), %b: f32 loc(unknown)):
      %s = arith.addf %a, %b : f32 loc(#loc14)
    }) : (tensor<4xf32>) -> f32 loc(#loc13)
    %t = tt.load %q : bf16 loc(#loc15)
    %u = tt.assert %q, "a loc(#loc2) in words" : bf16 loc(#loc16)
  } loc(#loc)
} loc(#loc)
"""


def test_a_location_is_the_line_that_it_names():
    assert located(TEXT) == [
        "#blocked = #ttg.blocked<{order = [1, 0]}>",
        'module attributes {ttg.target = "cuda:90"} {',
        "  tt.func public @step(%q: !tt.ptr<bf16> {a = 16 : i32}, %n: i32) {",
        "    %c = arith.constant 2 : i32",
        "    %at = tt.get_program_id x : i32   // kernel.py:40",
        '    %r = "tt.reduce"(%at) <{axis = 0 : i32}> ({',
        "    ^bb0(%a: f32, %b: f32):",
        "      %s = arith.addf %a, %b : f32   // standard.py:287",
        "    }) : (tensor<4xf32>) -> f32   // kernel.py:40",
        "    %t = tt.load %q : bf16   // kernel.py:40",
        '    %u = tt.assert %q, "a in words" : bf16',
        "  }   // kernel.py:13",
        "}   // kernel.py:13",
    ]


@for_each("text", ["", "module {\n}", "no ( loc(", 'loc("', " loc((((#loc", "#loc = loc(unknown"])
def test_a_text_without_locations_is_left_as_it_is(text):
    assert located(text) == text.splitlines()
