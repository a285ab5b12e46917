"""Whose a kernel is, by the names that profilers give: demangled and mangled."""

import pytest

from kernel_harness.tools.candidate.calls.kernel_origin import origin_of


@pytest.mark.parametrize(
    ("name", "origin"),
    [
        ("my_kernel", "candidate"),
        ("_Z9my_kernelPKfPfl", "candidate"),
        ("void space::my_kernel<int, 4>(float const*, float*)", "candidate"),
        ("_ZN2at6native29vectorized_elementwise_kernelILi4ENS0_11FillFunctorIfEE", "torch"),
        (
            "_ZN50_GLOBAL__N__fa15d16e_17_RangeFactories_cu_38772b0829elementwise_kernel_with_index"
            "IiZZZN2at6native15arange_cuda_outERKN3c106ScalarES5_",
            "torch",
        ),
        ("_Z6N2attoPf", "unknown"),
        (
            "void at::native::vectorized_elementwise_kernel<4, at::native::FillFunctor>(int)",
            "torch",
        ),
        ("nvjet_sm90_tst_320x128_64x3_1x2_h_bz_coopB_NNT", "cublas"),
        ("_ZN3cub17CUB_200000_SM_9006detail6reduce", "cub"),
        ("_ZN7cutlass13device_kernelIN10flashinfer9GemmEEE", "flashinfer"),
        ("someone_elses", "unknown"),
    ],
)
def test_a_name_has_an_origin(name, origin):
    assert origin_of(name, {"my_kernel"}) == origin
