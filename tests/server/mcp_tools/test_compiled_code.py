"""The code of a candidate's kernels, through a client."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kernel_harness.tools.messages.candidate import CompiledKernel
from kernel_harness.tools.messages.judge import CodeCompiled, CompileCode
from kernel_harness.tools.messages.profiler import CompiledModule, CompiledModules
from kernel_harness.tools.profiling.diagnosis.stall_samples import StallSamples
from kernel_harness.tools.profiling.ncu.source_page import read_source_page
from kernel_harness.tools.profiling.runs.profile_store import ProfileStore, device_name
from kernel_harness.tools.profiling.runs.run_files import Subject
from kernel_harness.tools.schema.flashinfer_trace import Solution

from ...tools.profiling.code.samples import PTX, SASS
from ...tools.profiling.source_pages import source_page
from ..calls import good, refused
from ..scripted import ScriptedHarness, solution

pytestmark = pytest.mark.anyio


@pytest.fixture
def asked(harness: ScriptedHarness, monkeypatch: pytest.MonkeyPatch) -> list[CompileCode]:
    seen: list[CompileCode] = []

    async def ask(device: str, request: CompileCode, kind: Any, progress: Any) -> CodeCompiled:
        seen.append(request)
        reference = request.solution["name"] != "mine"
        module = CompiledModule(
            target=request.target,
            kernels={"step": "step"},
            texts={"sass": SASS, "ptx": PTX},
            log="ptxas warning : Potential Performance Loss",
        )
        path = Path(request.folder) / "code.json"
        path.write_text(CompiledModules(modules=[module]).model_dump_json())
        kernel = CompiledKernel(
            name="step",
            target=request.target,
            registers=64 if reference else 40,
            shared_bytes=0,
            threads=128,
            opcodes={"LDG.E": 1, "LDG.E.128": 1},
        )
        return CodeCompiled(request_id=request.request_id, kernels=[kernel], path=str(path))

    monkeypatch.setattr(harness.pool, "ask", ask)
    return seen


async def test_without_a_form_kernels_are_summed_up_and_compared(
    connect: Any, asked: list[CompileCode], harness: ScriptedHarness
) -> None:
    async with connect() as client:
        found = await good(
            client, "show_code", solution=solution(), target="H200", compare_to="reference"
        )
    words = found["summary"]
    assert "nothing here is a time" in words and "40 registers" in words
    assert "Assembler: ptxas warning : Potential Performance Loss" in words
    assert "Loop 0x10 to 0x50 (kernel.py:13): 5 (2 load global, 1 special function)" in words
    assert "global loads narrower than 16 bytes: 1, 1 in loops (kernel.py:12: 1)" in words
    assert ["step", "registers", "40", "64"] in [line.split() for line in words.splitlines()]
    assert found["target"] == "sm_90" and found["kernels"][0]["registers"] == 40
    assert [one.target for one in asked] == ["sm_90", "sm_90"]
    assert found["folder"].startswith(str(harness.settings.profiles_dir))


async def test_a_slice_is_shown_and_what_is_not_there_is_refused(
    connect: Any, asked: list[CompileCode]
) -> None:
    async with connect() as client:
        given = {"solution": solution(), "target": "sm_100"}
        sass = await good(client, "show_code", **given, form="sass", around="LDG")
        ptx = await good(client, "show_code", **given, form="ptx", kernel="step")
        none = await refused(client, "show_code", **given, around="STG")
        form = await refused(client, "show_code", **given, form="ttir")
        kernel = await refused(client, "show_code", **given, kernel="nothing")
    assert "2 lines of the pattern" in sass["summary"] and "// kernel.py:12" in sass["summary"]
    assert ".visible .entry step" in ptx["summary"] and "next_offset" not in ptx
    assert "No line of" in none and "has no ttir" in form and "Nearest: step" in kernel
    assert len(asked) == 1, "the same code is compiled once"


async def test_after_a_profile_stalls_stand_beside_lines(
    connect: Any, asked: list[CompileCode], harness: ScriptedHarness
) -> None:
    mine = Solution.model_validate(solution())
    operator = harness.dataset.operator(mine.definition)
    store = ProfileStore(harness.settings.profiles_dir, device_name(harness.device))
    uuid = operator.workloads[0].uuid
    kernels = read_source_page(source_page("step"))
    samples = StallSamples(uuid=uuid, kernels=kernels)
    store.keep_samples(Subject(mine, operator.definition), samples)
    async with connect() as client:
        given = {"solution": solution(), "target": "sm_90"}
        figures = await good(client, "show_code", **given)
        sass = await good(client, "show_code", **given, form="sass", around="long_scoreboard")
    assert (
        f"profile of {uuid[:8]}, 200 samples: kernel.py:13 85 % long_scoreboard"
        in (figures["summary"])
    )
    assert "MUFU.EX2 R10, R9   // kernel.py:13, 80.0 % long_scoreboard" in sass["summary"]
