"""The archive in other people's forms.

dataset          a FlashInfer-Trace dataset: operators, solutions, and what was judged of them
trace_lines      its Traces: which count, with the reference's latency and the speed-up over it
reference_times  what those speed-ups are over, per workload
readme           the page that a dataset carries
submission       a contest's submission, packed from solutions
deployment       a folder of promoted kernels, for programs that use them
names            of the folder and the files that are written, each its own
trajectories     state, action and outcome of every trial, as JSON lines
"""
