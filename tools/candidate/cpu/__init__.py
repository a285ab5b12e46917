"""Stand-ins where there is no GPU.

device_signs      notes what host code looks at that a GPU's machine would answer otherwise
fake_device       a fake device for Triton's interpreter and for compiling
fake_memory       tells memory of the host from memory of a device
fake_tensors      has tensors on the CPU behave as tensors of a device
host_waits        sees where host code would wait for a device
host_work         describes what host code does by torch between launches
kernel_libraries  knows libraries of CUDA kernels that a candidate's Python loads
launches          describes launches, compiled and interpreted
legacy_types      has torch's old types of tensors tell devices from the host
triton_patches    corrects small floating-point types in Triton's interpreter
"""
