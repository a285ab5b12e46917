"""Why a kernel is slow: hardware counters, a timeline, a sanitizer, and what compiling shows.

    service           the door: profiles, timelines, sanitizer runs, and what takes over
    counted, traced, sanitized      one workload under each tool
    runs, shelf, records            a profiled run; where profiles are kept; what a profile is
    capability        which tools this machine has and what each missing one costs
    ncu, read_report  one command of Nsight Compute, and its report read back
    quantities        numbers and units as tools print them
    counters, metrics raw counters by name, and the `KernelProfile` made of them
    diagnosis, hints  a `KernelProfile` to a bottleneck, its evidence and what to change
    uncounted         the same where there are no counters, claiming less
    comparison        the differences between two profiles that matter
    timeline          kernels, copies and gaps of one call
    sanitizer         compute-sanitizer's findings by source line
    static_resources  registers, occupancy and instruction classes without running anything
    limits            what each architecture grants a multiprocessor

The room runs in the server's process and imports neither torch nor numpy. Candidates are never
run here: `tools/candidate/profile_run.py` does that, in a process and under an account of its own.
Nothing here changes a setting of the machine: no clock is locked, no permission is raised.
"""
