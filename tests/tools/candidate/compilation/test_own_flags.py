"""Flags that a candidate asks its compilers for reach them, but for those it may not choose."""

from __future__ import annotations

from pathlib import Path

import pytest

from kernel_harness.tools.candidate.compilation.compile_flags import CompileConfig
from kernel_harness.tools.candidate.compilation.object_cache import compile_command
from kernel_harness.tools.candidate.compilation.own_flags import OwnFlags, own_flags
from kernel_harness.tools.candidate.compilation.toolchain import Toolchain
from kernel_harness.tools.candidate.faults import CandidateError
from kernel_harness.tools.messages.candidate import BuildRequest

BASE = CompileConfig((), (), "c++20", ("-lc10",), nvcc=("--expt-relaxed-constexpr",))


def request(flags: str | None) -> BuildRequest:
    sources = [{"path": "kernel.cu", "content": "x"}]
    if flags is not None:
        sources.append({"path": "compile_flags.toml", "content": flags})
    return BuildRequest(
        language="cuda",
        binding="torch",
        entry_point="kernel.cu::run",
        destination_passing_style=False,
        sources=sources,
        content_hash="0" * 64,
        argument_count=1,
        output_count=1,
    )


def test_without_the_file_nothing_is_added() -> None:
    assert own_flags(request(None)) == OwnFlags()
    assert OwnFlags().added_to(BASE) == BASE


def test_each_compiler_gets_its_own_words_whichever_config_is_tried() -> None:
    text = 'cflags = ["-ffast-math"]\ncuda_cflags = ["--use_fast_math"]\nld_flags = ["-lcuda"]\n'
    config = own_flags(request(text)).added_to(CompileConfig((), (), "c++20", (), retry=BASE))
    tools = Toolchain(cxx="c++", nvcc="nvcc", cuda_home="", versions="")
    for tried in (config, config.retry):
        assert tried is not None
        device = compile_command(("a.cu", Path("a.o")), "90a", Path(), tried, tools)
        host = compile_command(("a.cpp", Path("a.o")), "90a", Path(), tried, tools)
        assert "--use_fast_math" in device and "-ffast-math" not in device
        assert "-ffast-math" in host and "--use_fast_math" not in host
        assert tried.libraries[-1] == "-lcuda"


def test_architecture_and_standard_are_not_a_candidate_s_to_choose() -> None:
    words = '["-O3", "-arch=sm_80", "-gencode", "arch=compute_80,code=sm_80", "-std=c++17", "-lx"]'
    assert own_flags(request(f"cuda_cflags = {words}")).cuda_cflags == ("-O3", "-lx")


@pytest.mark.parametrize(
    "text, words",
    [
        ("cuda_cflags = [", "no TOML"),
        ("nvcc_flags = []", "no key nvcc_flags"),
        ("cflags = '-O3'", "no list of words"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_is_wrong(text: str, words: str) -> None:
    with pytest.raises(CandidateError, match=words) as caught:
        own_flags(request(text))
    assert caught.value.fault.kind == "compile_flags"
