"""Formats of records and files. Nothing here reads a file or imports torch.

flashinfer_trace  Definition, Workload, Solution and Trace, as FlashInfer-Trace has them
source_tree       which paths a candidate's sources may have
definition        its Definition alone, re-exported by the above
constraints       decides a definition's constraints without running any of their text
record_model      the base of every part of a record
measurement       timed calls, their comparison and their sums
drawn_inputs      a workload's inputs, and what they were drawn by; held-out sizes' counts and speed
evaluation        the immutable record of one evaluation
search/           plans, and who made what
deployment/       kernels as they are handed to the programs that use them
recognition       what the archive knew of an evaluated program
trace_export      that record as FlashInfer-Trace lines
"""
