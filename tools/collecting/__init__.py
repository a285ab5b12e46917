"""Workloads out of a running program: calls of named functions, as a FlashInfer-Trace dataset.

tracing       `trace`: records calls of named functions until it ends, and writes the dataset
recording/    calls of functions and modules: grouped, counted, timed
adapters/     how calls of libraries become inputs of operators
drafting/     definitions, references, workloads and tensors of what was recorded
run_program   a Python program run under `trace`; started by name
user_program  such a program named by its words, and run as if by itself
"""
