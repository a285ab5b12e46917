"""Texts of the Python files that imported operators and candidates consist of.

kernelbench    KernelBench's: the reference, the inputs and the entry point of a candidate
sol_execbench  SOL-ExecBench's: the inputs
reduced_sizes  a task's text with smaller sizes
"""
