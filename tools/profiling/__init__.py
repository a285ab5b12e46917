"""Why a kernel is slow: hardware counters, a timeline, a sanitizer, and what compiling shows.

    service                        the door: profiles, timelines, sanitizer runs, and what takes
                                     over
    ncu/session, timeline/session, sanitizer/session
                                   one workload under each tool
    runs/tool_run, runs/profile_store, runs/profiles
                                   a profiled run; where profiles are kept; what a profile is
    ncu/command, ncu/report_reader
                                   one command of Nsight Compute, and its report read back
    ncu/quantities                 numbers and units as tools print them
    ncu/counters, ncu/kernel_profiles
                                   raw counters by name, and the `KernelProfile` made of them
    diagnosis/bottleneck, diagnosis/hints
                                   a `KernelProfile` to a bottleneck, its evidence and what to
                                     change
    timeline/estimated_bottleneck  the same where there are no counters, claiming less
    diagnosis/differences          the differences between two profiles that matter
    timeline/chrome_trace          kernels, copies and gaps of one call
    sanitizer/findings             compute-sanitizer's findings by source line

The room runs in the server's process and imports neither torch nor numpy. Candidates are never
run here: `tools/candidate/profiled/run.py` does that, in a process and under an account of its own.
Nothing here changes a setting of the machine: no clock is locked, no permission is raised.
"""
