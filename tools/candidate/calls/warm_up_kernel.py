"""Launches one Triton kernel, or compiles it alone.

    python -m kernel_harness.tools.candidate.calls.warm_up_kernel --device cuda:0

Triton compiles a piece of C for its driver on first use, about a second in every process whose
cache is empty, as a candidate's is. The judge runs this once with TRITON_CACHE_DIR set to a folder
that every candidate is given a copy of; a process that waits for a candidate runs it again, from
that copy, to have all of Triton loaded. No candidate code runs here.

Compiling needs no device: done once in the process that candidates are forked from, it leaves them
the modules, dialects and compiler versions that a first compilation would load in each.
"""

from __future__ import annotations

import argparse
import os
import tempfile

import torch
import triton
import triton.language as tl
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

CACHE_VARIABLE = "TRITON_CACHE_DIR"


@triton.jit
def _one(target, BLOCK: tl.constexpr):  # pyright: ignore[reportMissingParameterType]
    at = tl.arange(0, BLOCK)
    tl.store(target + at, at)


def launch(device: torch.device | str) -> None:
    """Compiles the kernel, or finds it compiled, and runs it."""
    target = torch.empty(32, dtype=torch.int32, device=device)
    _one[(1,)](target, BLOCK=32)  # pyright: ignore[reportArgumentType]
    torch.cuda.synchronize()


def compile_alone() -> bytes:
    """The kernel compiled for an architecture, in a folder that is removed again.

    Triton finds its folder by the environment, which is as before afterwards.
    """
    source = ASTSource(_one, {"target": "*i32", "BLOCK": "constexpr"}, {"BLOCK": 32})
    environment = os.environ  # noqa: TID251 - Triton reads there where its folder is
    before = environment.get(CACHE_VARIABLE)
    with tempfile.TemporaryDirectory() as folder:
        environment[CACHE_VARIABLE] = folder
        try:
            return triton.compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]
        finally:
            del environment[CACHE_VARIABLE]
            if before is not None:
                environment[CACHE_VARIABLE] = before


def main() -> None:
    """Runs the kernel on the device that is named."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", required=True)
    launch(parser.parse_args().device)


if __name__ == "__main__":
    main()
