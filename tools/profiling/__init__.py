"""Why a kernel is slow: hardware counters, a timeline, a sanitizer, a diagnosis.

    service          profiles, timelines, sanitizer runs and calibration of one harness's device
    inspection       one call looked into, beside the reference's
    device_figures   what is known of a device, measured where it is
    calibration_run  starts the process that measures a device's rates
    judge_files      what the judge writes for a profile: inputs, recorded calls
    code/            what kernels are compiled to, in figures and in part
    ncu/             Nsight Compute: session, commands, report, counters
    timeline/        the torch profiler: session, trace, estimated bottleneck
    sanitizer/       compute-sanitizer: session and findings
    runs/            one candidate under one tool, and the store of profiles
    diagnosis/       bottleneck, hints and differences from kernel profiles; pure

It runs in the server's process and imports neither torch nor numpy. Candidates are never run here:
`tools/candidate/profiled/run.py` does that, and `tools/runner/profiled/run.py` replays what one
launched, each in a process and under an account of its own. Nothing
here changes a setting of the machine: no clock is locked, no permission is raised.
"""
