"""The models that cross the harness's borders.

    flashinfer_trace.py  Definition, Workload, Solution and Trace, as FlashInfer-Trace has them
    definition.py        its Definition alone, re-exported by the above
    constraints.py       decides a definition's constraints without running any of their text
    evaluation.py        our immutable record of one trial
    trace_export.py      that record as FlashInfer-Trace lines

Nothing here reads a file or imports torch.
"""
