"""Calling and timing the entry point.

caller            one call: arguments in, outputs copied out
shared_memory     the judge's arena as this process maps it, and memory returned before
clock             what measures a call; host time on a CPU
cuda_clock        times calls on a CUDA device
cupti_records     CUPTI's activity records, split among calls
kernel_origin     attributes device activities to libraries by kernel name
torch_guards      torch's copying and zeroing, out of a candidate's reach
disabled_kernels  a call with the candidate's own Triton kernels disabled
warm_up           brings a device up before the candidate is there
warm_up_kernel    launches one Triton kernel
"""
