"""Paired, verified calls with a cold cache.

paired_timing    times candidate and baseline, workload by workload: sealed where that can be
sealed_timing    by replays of recorded calls, in runners
replayed_program  what was seen of one program's replays, and what it proves
held_out_timing  compares speed on held-out sizes, of which only the aggregate is told
recorders        the processes of candidate and baseline that record calls
process_pairs    the fresh processes of a timing
timed_calls      one timed call: judged at once, its times read later
sustained_timing  calls back to back over copies of their tensors
samples          samples in order, and the interval that stops the sampling; pure
programs/        the recorded calls and the runners of both programs
case_floors      the least times of a case
"""
