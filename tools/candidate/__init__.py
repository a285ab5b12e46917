"""The untrusted process: builds, calls and times the candidate; nothing it reports is trusted.

Started by module name, never imported by another package. It imports `messages`, `driver`,
`confinement`, `process_control` and `errors` only, and holds neither the reference nor its outputs,
neither seeds nor tolerances.

    process/       the zygote, the supervisor and the server of one evaluation
    compile_only/  compiling for devices that are not here
    calls/         calling and timing the entry point
    recording/     recording the launches of a call
    profiled/      a candidate under a profiler
    compilation/   from sources to something callable
    sandbox/       confinement of a process
    torch_shim/    torch's C++ interface without its headers
    faults         what a candidate raised, in words an agent can act on
    cpu/           stand-ins where there is no GPU
"""
