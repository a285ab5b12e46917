"""What the code of tasks takes and gives, asked of a process of its own; and what problems state.

client             asks that process
task_probe         that process: runs each task's code in a fork
task_code          loads a task's code there, and says why that failed
kernelbench_facts  of a task of KernelBench
gpu_mode_facts     of a task of gpu-mode
robust_kbench_facts  of a task of robust-kbench
autokernel_facts   of an operation of AutoKernel
axes               axes for tensors whose sizes are known for several cases
stated_axes        axes that a problem states, some by expressions
"""
