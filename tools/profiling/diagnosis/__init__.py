"""From counters to a bottleneck and what to change: pure.

kernel_profile  record of one profiled kernel
stall_samples   records of where warps waited, instruction by instruction
bottleneck      the bottleneck of a kernel or call, with its evidence
hints           changes worth trying, ranked by the most that each could gain
differences     differences between two profiles that matter
"""
