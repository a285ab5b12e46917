"""The trusted process that replays a launch plan and holds the clock; no candidate host code.

Started by module name, one for each program and evaluation, and ended with it; or by a profiler,
for one call. It imports messages, driver and errors only, and no torch.

    __main__        the command line: device and control socket
    serve           frames in, frames out, until the end
    memory          the reservation: what the judge shares, the plan's scratch, copies of tensors
    loaded_plan     a plan turned into prepared launches; its images restored before each replay
    streams         streams and waits for the nodes of a plan (pure)
    rotation        the nodes of a plan on tensors at other addresses (pure)
    replayer        replays enqueued and timed by two clocks
    batches         many calls in one graph: for the judge's clock, and in steady state
    device_kernels  the runner's own: yardstick, reading flush, overwriting (kernels.ptx)
    profiled/       a recorded call replayed under a profiler, without a judge
    spans           activity records turned into one span for each replay (pure)
"""
