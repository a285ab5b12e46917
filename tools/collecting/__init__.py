"""Workloads out of a running program: calls of named functions, as a FlashInfer-Trace dataset.

tracing           `trace`: records calls of named functions until it ends, and writes the dataset
program_parts     all that a program consists of, where no targets are named
targets           where a program keeps what is named, and how a recorder is put there
traced_function   one function's calls, or a share of them: grouped, counted and timed
call_groups       calls alike, and what is kept of the contents of their tensors
module_state      what a module's forward reads of the module
adapters/         how calls of libraries become inputs of operators
definition_draft  axes from what varies and what is equal, and a reference; pure
reference_source  a function's code with all that it names, to stand alone
dataset_files     definition, workloads and tensors of one function, written
run_program       a Python program run under `trace`; started by name
"""
