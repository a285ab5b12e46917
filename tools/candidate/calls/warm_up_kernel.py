"""Launches one Triton kernel.

    python -m kernel_harness.tools.candidate.calls.warm_up_kernel --device cuda:0

Triton compiles a piece of C for its driver on first use, about a second in every process whose
cache is empty, as a candidate's is. The judge runs this once with TRITON_CACHE_DIR set to a folder
that every candidate is given a copy of; a process that waits for a candidate runs it again, from
that copy, to have all of Triton loaded. No candidate code runs here.
"""

from __future__ import annotations

import argparse

import torch
import triton
import triton.language as tl


@triton.jit
def _one(target, BLOCK: tl.constexpr):  # pyright: ignore[reportMissingParameterType]
    at = tl.arange(0, BLOCK)
    tl.store(target + at, at)


def launch(device: torch.device | str) -> None:
    """Compiles the kernel, or finds it compiled, and runs it."""
    target = torch.empty(32, dtype=torch.int32, device=device)
    _one[(1,)](target, BLOCK=32)  # pyright: ignore[reportArgumentType]
    torch.cuda.synchronize()


def main() -> None:
    """Runs the kernel on the device that is named."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", required=True)
    launch(parser.parse_args().device)


if __name__ == "__main__":
    main()
