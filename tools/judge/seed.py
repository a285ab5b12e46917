"""`python -m kernel_harness.tools.judge.seed --device cuda:0`: Triton's own stubs, compiled once.

Triton compiles a piece of C for its driver on first use, about a second in every process whose
cache is empty, as a candidate's is. This runs one kernel of ours with TRITON_CACHE_DIR set to a
folder that every candidate is given a copy of. No candidate code runs here.
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


def main() -> None:
    """Compiles and launches the kernel."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", required=True)
    target = torch.empty(32, dtype=torch.int32, device=parser.parse_args().device)
    _one[(1,)](target, BLOCK=32)  # pyright: ignore[reportArgumentType]
    torch.cuda.synchronize()


if __name__ == "__main__":
    main()
