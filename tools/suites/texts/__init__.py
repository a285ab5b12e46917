"""Texts of the Python files that imported operators and candidates consist of.

kernelbench    KernelBench's: the reference, the inputs and the entry point of a candidate
sol_execbench  SOL-ExecBench's: the inputs
gpu_mode       gpu-mode's: reference, inputs, comparison and the entry point of a submission
robust_kbench  robust-kbench's: the reference, the inputs and the entry point of a kernel
robust_kbench_backward  its references of backward tasks: gradients by PyTorch's engine
kernelagent    KernelAgent's: the entry point of a kernel
autokernel     AutoKernel's: the reference, the inputs and the entry point of a kernel
host_device    has what a task asks for on a GPU made without one
task_values    takes a task's data apart, and makes it of its parts
reduced_sizes  a task's text with smaller sizes
"""
