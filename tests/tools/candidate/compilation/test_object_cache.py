"""Which objects are compiled with which headers, seen through a compiler that only takes notes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kernel_harness.tools.candidate.compilation import object_cache as objects
from kernel_harness.tools.candidate.compilation import toolchain
from kernel_harness.tools.candidate.compilation.compile_flags import CompileConfig, torch_config
from kernel_harness.tools.candidate.compilation.sources import Folders, write_sources
from kernel_harness.tools.candidate.compilation.toolchain import Ran, Toolchain
from kernel_harness.tools.candidate.faults import CandidateError
from kernel_harness.tools.candidate.process.build_cache import BuildCache
from kernel_harness.tools.messages.candidate import BuildRequest
from kernel_harness.tools.messages.zygote import FETCHED_FOLDER

TORCH = "#include <torch/extension.h>\n"
COMPILER = r"""#!/bin/sh
echo "$@" >> {notes}
for word; do
  case "$previous" in -c) source=$word ;; -o) target=$word ;; esac
  case "$word" in */build/shim) shim=1 ;; -DKERNEL_HARNESS_OWN_BINDING) own=1 ;; esac
  previous=$word
done
fails() {{ echo "$source:1:1: error: $1"; exit 1; }}
case "$source" in */support.cpp) {support} ;; esac
grep -q NONSENSE "$source" && fails 'NONSENSE does not name a type'
grep -q ASSEMBLER "$source" && {{ echo "ptxas k.ptx, line 1; error   : Bad"; exit 1; }}
[ -n "$shim" ] && grep -q SUM "$source" && fails 'has no member named sum'
[ -n "$shim$own" ] && grep -q DICT "$source" && fails 'no match for kernel_harness_torch::load'
echo object > "$target"
"""


@pytest.fixture(autouse=True)
def hiding(monkeypatch):
    """The compiler that takes notes writes them outside of what it would be allowed."""
    monkeypatch.setattr(toolchain, "can_hide", lambda private: True)
    monkeypatch.setattr(toolchain.landlock, "restrict", lambda readable, writable: True)


class Bench:
    """Candidates built one after another beside one cache."""

    def __init__(self, root: Path, support: str = ":") -> None:
        self.root, self.notes, self.cache = root, root / "notes", root / "cache"
        self.cache.mkdir()
        compiler = root / "compiler"
        compiler.write_text(COMPILER.format(notes=self.notes, support=support))
        compiler.chmod(0o755)
        self.tools = Toolchain(str(compiler), "", str(compiler), "1")
        self.count = 0

    def build(self, **sources: str) -> tuple[list[objects.Made], list[str]]:
        """Builds sources named by stem; their objects, and what was compiled with which header."""
        self.count += 1
        files = {f"{stem}.{'cu' if stem == 'kernel' else 'cpp'}": t for stem, t in sources.items()}
        request = BuildRequest(
            language="cuda",
            binding="torch",
            entry_point=f"{next(iter(files))}::run",
            destination_passing_style=True,
            sources=[{"path": path, "content": text} for path, text in files.items()],
            content_hash=f"{self.count:040x}",
            argument_count=1,
            output_count=1,
            cuda_arch="90a",
        )

        private = self.root / str(self.count)
        (private / FETCHED_FOLDER).mkdir(parents=True)
        kept = BuildCache(self.cache, private)
        folders = Folders(
            private,
            lambda key: private / FETCHED_FOLDER / key if kept.fetch(key) else None,
            kept.publish,
        )
        self.config: CompileConfig = torch_config(request, folders)
        self.source_dir = write_sources(request, folders)
        self.notes.write_text("")
        try:
            made = objects.compile_objects(
                request, self.source_dir, folders, self.config, self.tools
            )
        finally:
            self.lines = self.notes.read_text().splitlines()
            self.ran = sorted(map(self._said, self.lines))
        return made, self.ran

    def _said(self, line: str) -> str:
        words = line.split()
        kinds = {Path(w).name for w in words if w.startswith("-I")} & {"shim", "light"}
        header = "shim" if "shim" in kinds else "light" if "light" in kinds else "full"
        header = "own" if "-DKERNEL_HARNESS_OWN_BINDING" in words else header
        return f"{Path(words[words.index('-c') + 1]).stem} {header}"


def test_sources_share_one_support_which_later_candidates_find(tmp_path):
    bench = Bench(tmp_path)
    made, ran = bench.build(kernel=TORCH, binding=TORCH + "int x;")
    assert ran == ["binding shim", "kernel shim", "support light"]
    assert [m.source for m in made] == ["kernel.cu", "binding.cpp", "(torch)"]
    made, ran = bench.build(kernel=TORCH + "int other;")
    assert ran == ["kernel shim"] and len(made) == 2 and made[1].ran is None
    assert all(m.file.is_file() for m in made)


def test_nothing_of_a_candidate_is_on_the_path_of_the_support(tmp_path):
    """What one candidate could put into it, every later candidate would get."""
    bench = Bench(tmp_path)
    made, _ = bench.build(kernel=TORCH, Tensor='#error "ATen/core/Tensor.h of my own"')
    (line,) = (line for line in bench.lines if "support.cpp" in line)
    assert str(bench.source_dir.parent) not in line
    first = objects.support_key(bench.config, bench.tools)
    bench.build(kernel=TORCH + "int another;")
    assert objects.support_key(bench.config, bench.tools) == first
    assert first == made[-1].file.parent.name
    newer = Toolchain(bench.tools.nvcc, "", bench.tools.cxx, "2")
    assert objects.support_key(bench.config, newer) != first


def test_sources_without_torch_keep_their_objects_when_the_header_changes(tmp_path):
    bench = Bench(tmp_path)
    _, ran = bench.build(kernel="int k;", binding=TORCH)
    assert ran == ["binding shim", "kernel light", "support light"]
    made, ran = bench.build(kernel="int changed;", binding=TORCH)
    assert ran == ["kernel light"] and len(made) == 3


def test_a_source_that_the_shim_fails_gets_torch_s_tensor_and_so_do_all(tmp_path):
    """A tensor of the one header is another type than a tensor of the other."""
    bench = Bench(tmp_path)
    made, ran = bench.build(kernel=TORCH + "SUM", binding=TORCH, plain="int p;")
    assert ran == [
        *("binding own", "binding shim", "kernel own", "kernel shim"),
        *("plain light", "support light"),
    ]
    assert [m.source for m in made] == ["kernel.cu", "binding.cpp", "plain.cpp", "(torch)"]
    made, ran = bench.build(kernel=TORCH + "SUM", binding=TORCH, plain="int changed;")
    assert ran == ["plain light"] and len(made) == 4


def test_a_source_that_neither_serves_is_compiled_with_the_headers_that_it_had_before(tmp_path):
    bench = Bench(tmp_path)
    made, ran = bench.build(kernel=TORCH + "DICT")
    assert ran == ["kernel light", "kernel own", "kernel shim", "support light"]
    assert [m.source for m in made] == ["kernel.cu"]
    _, ran = bench.build(kernel=TORCH + "DICT", plain="int p;")
    assert ran == ["plain light"]


def test_a_source_that_no_header_helps_fails_with_the_compiler_s_words(tmp_path):
    bench = Bench(tmp_path)
    with pytest.raises(CandidateError) as failed:
        bench.build(kernel=TORCH + "NONSENSE", binding=TORCH)
    assert "kernel.cu did not compile" in failed.value.fault.message
    assert "NONSENSE" in failed.value.fault.excerpt
    assert [line for line in bench.ran if line.startswith("kernel")] == [
        "kernel own",
        "kernel shim",
    ]


def test_the_assembler_s_word_is_final(tmp_path):
    bench = Bench(tmp_path)
    with pytest.raises(CandidateError):
        bench.build(kernel=TORCH + "ASSEMBLER")
    assert bench.ran == ["kernel shim", "support light"]


@pytest.mark.parametrize(
    ("support", "again"),
    [
        ("fails 'no such type'", ["kernel light"]),
        ("echo 'cc1plus: out of memory'; exit 1", ["kernel light", "kernel shim", "support light"]),
    ],
)
def test_a_torch_that_the_support_does_not_know_is_remembered_and_an_accident_is_not(
    tmp_path, support, again
):
    bench = Bench(tmp_path, support)
    made, ran = bench.build(kernel=TORCH)
    assert ran == ["kernel light", "kernel shim", "support light"]
    assert [m.source for m in made] == ["kernel.cu"]
    _, ran = bench.build(kernel=TORCH + "int changed;")
    assert ran == again


@pytest.mark.parametrize(
    "hollow",
    [
        '#include "impl.cpp"\n',
        '#/**/include "impl.cpp"\n',
        '# /* x */ include "impl.cpp"\n',
        '%:include "impl.cpp"\n',
        '#import "impl.cpp"\n',
        '#include_next "impl.cpp"\n',
        '#incl\\\nude "impl.cpp"\n',
        '#include \\\n"impl.cpp"\n',
        '#define F "impl.cpp"\n#include F\n',
        '#if __has_include("impl.cpp")\nint f;\n#endif\n',
        '#embed "impl.cpp"\n',
        'asm(".incbin \\"impl.cpp\\"");\n',
        '__asm__(".inc" "bin \\"impl.cpp\\"");\n',
        '_Pragma("include_alias(x, y)")\n',
    ],
)
def test_whatever_a_source_may_read_is_in_its_key(tmp_path: Path, hollow: str) -> None:
    bench = Bench(tmp_path)
    bench.build(main=hollow, impl="int honest;\n")
    _, compiled = bench.build(main=hollow, impl="int other;\n")
    assert any(line.startswith("main ") for line in compiled), "an object of other sources was used"


def test_where_a_compiler_sees_every_source_every_source_is_in_the_key(tmp_path, monkeypatch):
    monkeypatch.setattr(toolchain, "can_hide", lambda private: False)
    bench = Bench(tmp_path)
    bench.build(main="int x;", impl="int honest;")
    _, compiled = bench.build(main="int x;", impl="int other;")
    assert any(line.startswith("main ") for line in compiled)


def test_a_compiler_that_met_a_limit_is_not_run_again_with_other_headers():
    config = CompileConfig(include=(), define=(), standard="c++17", libraries=(), own_types=True)
    config = replace(config, retry=config)
    assert objects.failed_for_headers(Ran(False, "error: no"), config)
    assert not objects.failed_for_headers(Ran(False, "error: no", stopped=True), config)
