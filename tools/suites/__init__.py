"""Other people's benchmarks: their tasks as operators, and their scores.

table            the suites by name: how each is imported and scored
kernelbench      KernelBench: tasks and candidates of a checkout, written as operator folders
sol_execbench    SOL-ExecBench: problems and solutions
gpu_mode         gpu-mode: tasks and submissions
robust_kbench    robust-kbench: tasks and kernels
contest          FlashInfer's contest: config.toml and sources of teams, on a dataset
kernelagent      KernelAgent: problem files and kernels
autokernel       AutoKernel: the operations of its bench.py, and kernels
operator_folder  writes an operator's folder, and candidates beside it
origin           where an operator was imported from, kept beside it
probing/         what a task's code takes and gives
texts/           texts of the files that are written
scores/          what evaluations say of each task, and the scores made of it
"""
