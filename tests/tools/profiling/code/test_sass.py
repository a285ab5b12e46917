"""A disassembly is read by kernel, source line and loop, and what notes refer to is found in it."""

from __future__ import annotations

from kernel_harness.tools.profiling.code.findings import lines_of, loops_of, marks_of, waits_of
from kernel_harness.tools.profiling.code.sass import read_sass, written
from kernel_harness.tools.profiling.ncu.source_page import read_source_page

from ..source_pages import source_page
from .samples import SASS


def test_instructions_have_addresses_opcodes_and_the_candidates_own_lines():
    found = read_sass(SASS)
    assert set(found) == {"step", "other"}
    load = found["step"].instructions[2]
    assert (load.address, load.opcode, load.place) == (0x20, "LDG.E.128", "kernel.py:12")
    assert found["other"].instructions[0].place == ""


def test_of_an_inlined_function_the_callers_line_counts():
    (exponent,) = [one for one in read_sass(SASS)["step"].instructions if "MUFU" in one.text]
    assert exponent.place == "kernel.py:13"


def test_a_backward_branch_is_a_loop_and_the_one_to_itself_is_none():
    function = read_sass(SASS)["step"]
    assert function.loops() == [(0x10, 0x50)]
    (loop,) = loops_of(function)
    assert loop.classes["load_global"] == 2 and loop.classes["total"] == 5
    assert loop.place == "kernel.py:13"


def test_of_nested_loops_the_inner_one_is_named():
    text = SASS.replace("EXIT ;\n.L_x_1:", "BRA `(.L_x_9) ;\n.L_x_1:", 1)
    text = text.replace("        /*0000*/", ".L_x_9:\n        /*0000*/", 1)
    function = read_sass(text)["step"]
    assert function.loops() == [(0x10, 0x50), (0x0, 0x70)]
    assert [(loop.first, loop.last) for loop in loops_of(function)] == [(0x10, 0x50)]


def test_lines_are_ranked_by_their_instructions():
    ranked = lines_of(read_sass(SASS)["step"], 2)
    assert ranked[0][0] == "kernel.py:13" and ranked[1] == (
        "kernel.py:12",
        {"load_global": 2, "load_global_128": 1, "load_global_32": 1, "total": 2},
    )


def test_what_notes_refer_to_is_counted_in_and_outside_of_loops():
    marks = {mark.what: mark for mark in marks_of(read_sass(SASS)["step"], "sm_90")}
    narrow = marks["global loads narrower than 16 bytes"]
    assert (narrow.count, narrow.in_loops, narrow.places) == (1, 1, {"kernel.py:12": 1})
    (older,) = [mark for what, mark in marks.items() if "HMMA" in what]
    assert (older.count, older.in_loops) == (1, 0)
    assert not [what for what in marks if "local" in what or "atomics" in what]
    before = marks_of(read_sass(SASS)["step"], "sm_80")
    assert not [mark for mark in before if "HMMA" in mark.what]
    (spill,) = marks_of(read_sass(SASS)["other"], "sm_90")
    assert "local memory" in spill.what and spill.places == {}


def test_code_is_written_with_labels_addresses_and_places():
    text = list(written(read_sass(SASS)["step"]))
    assert text[1:3] == [".L_x_0:", "00010  LDG.E R9, desc[UR8][R6.64]   // kernel.py:12"]


def test_samples_stand_beside_instructions_and_are_summed_up_by_line():
    step = read_sass(SASS)["step"]
    (sampled,) = read_source_page(source_page("step"))
    text = list(written(step, sampled))
    assert "00030  MUFU.EX2 R10, R9   // kernel.py:13, 80.0 % long_scoreboard" in text
    assert "00070  EXIT   // kernel.py:13" in text, "nothing where no warp was seen"
    first, second = waits_of(step, sampled, 2)
    assert (first.place, first.share, first.reason) == ("kernel.py:13", 0.85, "long_scoreboard")
    assert (second.place, second.share, second.reason) == ("kernel.py:12", 0.1, "")


def test_samples_of_code_without_lines_are_told_by_address():
    step = read_sass(SASS.replace("//## File", "// File"))["step"]
    (sampled,) = read_source_page(source_page("step"))
    assert waits_of(step, sampled, 1)[0].place == "0x30"
