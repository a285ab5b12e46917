"""Dumps of cubins come whole, however many instructions a candidate has."""

import os
import sys
from pathlib import Path

import pytest

from kernel_harness.tools.candidate.compile_only import cubin, dumps


def test_last_instruction_of_a_long_dump_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Five kernels of a tensor-core candidate printed 4.5 MB, of which 4 MiB were read."""
    tool = tmp_path / "cuobjdump"
    tool.write_text(
        f"#!{sys.executable}\n"
        "print('\\tFunction : long')\n"
        "for i in range(60_000):\n"
        "    print(f'        /*{i:04x}*/    FADD R0, R1, R2 ;' + ' ' * 60)\n"
        "print('        /*fffff*/    HGMMA.64x64x16.F32.BF16 R24 ;')\n"
    )
    tool.chmod(0o755)
    monkeypatch.setattr(dumps, "_cuobjdump", lambda: os.fspath(tool))
    [(_, sass)] = dumps.dump([tmp_path / "any.cubin"])
    opcodes = cubin.read_opcodes(sass)["long"]
    assert opcodes == {"FADD": 60_000, "HGMMA.64x64x16.F32.BF16": 1}
