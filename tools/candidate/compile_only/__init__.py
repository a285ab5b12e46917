"""Compiling for devices that are not here.

targets          compiles a candidate for targets
triton_launches  compiles what one call launches by Triton, and describes each launch
host_call        calls the host function of CUDA sources against a stub of the runtime
device_tensors   gives that function tensors that say that they lie on a device
inline_sources   collects CUDA that Python hands to a compiler when it runs
dsl_kernels      collects what CuTe's Python language and TileLang compile
compile_errors   compile errors at lines of the candidate's own files
cubin            reads resources and instructions of a compiled kernel
code_texts       what kernels were compiled to, form by form
dumps            prints them by NVIDIA's own tool
"""
