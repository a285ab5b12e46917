"""First sources of a candidate: what is called, with every argument named, and kernels to fill in.

kinds      the templates by name, as solutions
arguments  a definition's arguments as kernels and host code take them
cuda       CUDA C++ bound by torch or tvm-ffi, or compiled by NVRTC from Python
python     Python alone, and Triton
"""
