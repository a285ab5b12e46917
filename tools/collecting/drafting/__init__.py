"""Recorded calls, written as a dataset.

definition_draft  axes from what varies and what is equal, and a reference; pure
reference_source  a function's code with all that it names, to stand alone
dataset_files     definition, workloads and tensors of one function, written
"""
