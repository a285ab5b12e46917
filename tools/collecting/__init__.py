"""Workloads out of a running program: calls of named functions, as a FlashInfer-Trace dataset.

tracing           `trace`: records calls of named functions until it ends, and writes the dataset
traced_function   one function's calls: kinds, shapes and numbers, grouped and counted
definition_draft  axes from what varies and what is equal, and a reference; pure
reference_source  a function's code with all that it names, to stand alone
dataset_files     definition, workloads and tensors of one function, written
run_program       a Python program run under `trace`; started by name
"""
