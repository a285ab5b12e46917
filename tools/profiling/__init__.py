"""Why a kernel is slow: hardware counters, a timeline, a sanitizer, and what compiling shows.

    service           asks for profiles, keeps them, and falls back where a tool is missing
    capability        which tools this machine has and what each missing one costs
    ncu, read_report  one command of Nsight Compute, and its report read back
    quantities        numbers and units as tools print them
    metrics           raw counters to a `KernelProfile`
    diagnosis, hints  a `KernelProfile` to a bottleneck, its evidence and what to change
    comparison        the differences between two profiles that matter
    timeline          kernels, copies and gaps of one call
    sanitizer         compute-sanitizer's findings by source line
    static_resources  registers, occupancy and instruction classes without running anything
    limits            what each architecture grants a multiprocessor

The room runs in the server's process and imports neither torch nor numpy. Candidates are never
run here: `tools/candidate/profile_run.py` does that, in a process and under an account of its own.
Nothing here changes a setting of the machine: no clock is locked, no permission is raised.
"""
