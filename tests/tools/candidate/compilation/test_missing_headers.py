"""A header that is not there: the candidate's slip, or a library that the machine lacks."""

from __future__ import annotations

import pytest

from kernel_harness.tools.candidate.compilation.missing_headers import refuse_missing_library
from kernel_harness.tools.candidate.faults import CandidateError

OWN = ("kernel.cu", "sub/tiles.h")


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("kernel.cu:2:10: fatal error: cublas_v2.h: No such file or directory", "cuBLAS"),
        ("kernel.cu:2:10: fatal error: cute/tensor.hpp: No such file or directory", "CUTLASS"),
        ("kernel.cu:2:10: fatal error: kittens.cuh: No such file or directory", "ThunderKittens"),
        ("kernel.cu:2:10: fatal error: hip/hip_runtime.h: No such file or directory", "HIP"),
        (
            "/v/torch/include/ATen/cuda/CUDAContextLight.h:10:10: fatal error: cusparse.h: No such "
            "file or directory",
            "CUDAContextLight.h wants",
        ),
        ("/v/include/lib.h:3:10: fatal error: inner.h: No such file or directory", "inner.h"),
        ('kernel.cu(4): catastrophic error: cannot open source file "curand_kernel.h"', "cuRAND"),
    ],
)
def test_a_library_that_is_missing_is_named_with_its_package(line, words):
    with pytest.raises(CandidateError, match=words) as caught:
        refuse_missing_library(f"some words\n{line}\n", OWN)
    assert caught.value.fault.kind == "toolchain"


@pytest.mark.parametrize(
    "line",
    [
        "kernel.cu:2:10: fatal error: helper.h: No such file or directory",
        "kernel.cu:2:10: fatal error: tiles.h: No such file or directory",
        'kernel.cu(7): error: identifier "x" is undefined',
    ],
)
def test_a_slip_of_the_candidate_stays_its_own(line):
    refuse_missing_library(line, OWN)
