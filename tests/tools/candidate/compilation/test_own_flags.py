"""Flags that a candidate asks its compilers for reach them, but for those it may not choose."""

from __future__ import annotations

from pathlib import Path

import pytest
import tomli_w

from kernel_harness.tools.candidate.compilation.compile_flags import CompileConfig
from kernel_harness.tools.candidate.compilation.object_cache import compile_command
from kernel_harness.tools.candidate.compilation.own_flags import OwnFlags, own_flags
from kernel_harness.tools.candidate.compilation.toolchain import Toolchain
from kernel_harness.tools.candidate.faults import CandidateError
from kernel_harness.tools.messages.candidate import BuildRequest
from tests.folding import for_each

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
    words = '["-O3", "-arch=sm_80", "-gencode", "arch=compute_80,code=sm_80", "-std=c++17", "-G"]'
    assert own_flags(request(f"cuda_cflags = {words}")).cuda_cflags == ("-O3", "-G")


HONEST = {
    "cflags": [
        ["-O3", "-Ofast", "-g", "-Wall", "-Wno-unused-variable", "-std=c++17", "-w"],
        ["-march=native", "-mavx2", "-mfma", "-ffast-math", "-fno-strict-aliasing", "-fopenmp"],
        ["-DNDEBUG", "-DNAME=1e-6f", "-D", "TILE=128", "-UNDEBUG", "-DTEXT='a b'"],
        ["-Iinclude", "-I", "src/lib", "-isystem", "/usr/local/cuda/include", "-fPIC"],
        ["-fvisibility=hidden", "-funroll-loops", "-fpermissive", "-pthread", "-I."],
    ],
    "cuda_cflags": [
        ["-O3", "-std=c++17", "--use_fast_math", "-use_fast_math", "-lineinfo", "-w"],
        ["-maxrregcount=128", "-maxrregcount", "64", "--maxrregcount=255", "--maxrregcount", "32"],
        ["-DNAME=(a+b)", "-DTYPE=float", "-D", "N=64", "-U__CUDA_NO_HALF_OPERATORS__"],
        ["-Xptxas", "-v,-O3", "-Xptxas=-dlcm=ca", "--ptxas-options=-v", "--ptxas-options", "-O3"],
        ["-Xptxas", "--warn-on-spills", "-Xptxas=--allow-expensive-optimizations=true"],
        ["-Xcompiler", "-fPIC", "-Xcompiler=-O3,-march=native", "--compiler-options", "-Wall"],
        ["-Xcompiler", "-DNAME=2", "-Xcudafe", "--diag_suppress=177"],
        ["--expt-relaxed-constexpr", "--expt-extended-lambda", "--extended-lambda"],
        ["-ftz=true", "--ftz", "true", "--prec-div=false", "-prec-sqrt=false", "--fmad=true"],
        ["--diag-suppress=177,550", "-diag-suppress", "20012", "--threads=4", "-t", "0"],
        ["--default-stream=per-thread", "-Wno-deprecated-gpu-targets", "--restrict"],
        ["-I/usr/local/cutlass/include", "-Icutlass/include", "--generate-line-info"],
    ],
    "ld_flags": [
        ["-lcuda", "-lcublas", "-lcublasLt", "-l", "cudart", "-l:libcuda.so.1", "-pthread"],
        ["-L/usr/local/cuda/lib64", "-L", "/usr/lib", "-Wl,--no-as-needed", "-fopenmp", "-s"],
        ["-Wl,-rpath,/usr/local/cuda/lib64", "-Wl,-rpath=/opt/lib", "-Wl,-z,now", "-O3"],
    ],
}


@for_each("key, words", [(k, words) for k, each in HONEST.items() for words in each])
def test_usual_flags_are_let_through(key: str, words: list[str]) -> None:
    found = getattr(own_flags(request(tomli_w.dumps({key: words}))), key)
    assert list(found) == [word for word in words if word != "-std=c++17"]


HOSTILE = {
    "cflags": [
        *(["-wrapper", "python3,kernel.py"], ["-fplugin=./x.so"], ["-specs=specs"], ["-B."]),
        *(["-o", "/tmp/x"], ["-o/tmp/x"], ["-include", "/etc/passwd"], ["-imacros", "x"]),
        *(["@flags"], ["kernel.s"], ["-x", "c"], ["-MF", "/tmp/x"], ["-MD"], ["-save-temps"]),
        *(["-Wl,-plugin,x"], ["-Wp,-MD,x"], ["-Wa,-a=x"], ["-fdump-tree-all=/tmp/x"], ["-E"]),
        *(["-fprofile-use=/tmp/x"], ["-fprofile-generate"], ["-dumpdir", "x"], ["-D", "-o"]),
        *(["-I../outside"], ["-I/home/x"], ["-I/usr/../home"], ["-I", "/proc/self"], ["-D"]),
        *(["-DX=$(id)"], ["-DX=`id`"], ["-fplugin-arg-x-y"], ["--sysroot=x"], ["-no-canonical"]),
        *(["-Xlinker", "x"], ["-T", "x"], [""], ["-"], ["-c"], ["--param", "x"], ["-iquote", "/"]),
    ],
    "cuda_cflags": [
        *(["-ccbin", "./cc"], ["-ccbin=./cc"], ["--compiler-bindir", "x"], ["-optf", "x"]),
        *(
            ["--compiler-bindir=x"],
            ["--options-file=x"],
            ["@flags"],
            ["-o", "x"],
            ["-include", "x"],
        ),
        *(["--pre-include=x"], ["-odir", "x"], ["--keep"], ["--keep-dir=x"], ["-run"], ["-lib"]),
        *(["-Xcompiler", "-fplugin=x"], ["-Xcompiler=-wrapper,sh"], ["-Xcompiler", "-O3,-Bx"]),
        *(["--compiler-options=-fplugin=x"], ["-Xcompiler", "@x"], ["-Xcompiler", "-o,x"]),
        *(["-Xcompiler", "-DX=a;id"], ["-Xcompiler=-DX=a|id"], ["-Xcompiler", "-O3 -Bx"]),
        *(["-DX=$(id)"], ["-DX=`id`"], ['-DX="a";id;"b"'], ["-D", "X=$HOME"], ["-DX=\\"]),
        *(["-Xptxas", "-o,x"], ["-Xptxas=--output-file=x"], ["-Xptxas", "--options-file,x"]),
        *(["-Xlinker", "x"], ["-Xnvlink", "x"], ["-Xarchive", "x"], ["kernel.ptx"], ["-ldir", "x"]),
        *(["--dryrun"], ["-target-dir", "x"], ["-use-local-env"], ["-forward-unknown-opts"]),
        *(["-fdevice-time-trace=x"], ["-time", "x"], ["-MF", "x"], ["-x", "c"], ["-dlink"]),
        *(["-maxrregcount", "-o"], ["-maxrregcount"], ["-Xptxas"], ["-t=x"], ["-arbin", "x"]),
        *(["-compiler-bindir=x"], ["-DX\n"], ["-I/tmp"], ["-sanitize", "x"], ["-clean"]),
        *(["-forward-unknown-to-host-compiler", "-fplugin=x"], ["-Xcudafe", "--gen_c_file_name=x"]),
    ],
    "ld_flags": [
        *(["-L/work/mine"], ["-L."], ["-Lsub"], ["-L/usr/../home/x"], ["kernel.o"], ["@x"]),
        *(["-Wl,-T,x"], ["-Wl,-plugin,x"], ["-Wl,-Map=x"], ["-Wl,-o,x"], ["-Wl,-rpath,/home/x"]),
        *(["-fuse-ld=x"], ["-B."], ["-o", "x"], ["-Wl,--version-script=x"], ["-wrapper", "sh,-c"]),
        *(["-l/x"], ["-l:../x.so"], ["-Xlinker", "-plugin=x"], ["-specs=x"], ["-T", "x"]),
        *(["-Wl,-dynamic-linker,x"], ["-Wl,@x"], ["-fplugin=x"], ["-static-pie"], ["-r"]),
    ],
}


@for_each("key, words", [(k, words) for k, each in HOSTILE.items() for words in each])
def test_flags_that_choose_programs_files_or_places_are_refused(key: str, words: list[str]) -> None:
    with pytest.raises(CandidateError, match="a candidate may not choose") as caught:
        own_flags(request(tomli_w.dumps({key: ["-O3", *words]})))
    assert caught.value.fault.kind == "compile_flags"
    assert "Allowed are" in str(caught.value)


@pytest.mark.parametrize(
    "word", ["-I" + "a" * 5000 + "!", "-DX=" + "(" * 5000 + "$", "-W" + "a" * 5000 + "$"]
)
def test_a_long_word_is_refused_at_once(word: str) -> None:
    for key in ("cflags", "cuda_cflags"):
        with pytest.raises(CandidateError):
            own_flags(request(tomli_w.dumps({key: [word]})))


def test_what_follows_a_target_is_its_value_and_no_way_around() -> None:
    with pytest.raises(CandidateError, match="-fplugin"):
        own_flags(request('cflags = ["-std=c++17", "-fplugin=x.so"]'))
    assert own_flags(request('cflags = ["-std", "-fplugin=x.so", "-O3"]')).cflags == ("-O3",)


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
