"""One call of a candidate recorded as a `LaunchPlan`, in the candidate's own process.

allocator       torch's memory taken from a reservation that a runner can have, too
module_log      every cubin that was loaded, and which of them a function comes from
launch_calls    what an ordinary call launches: kernels, grids, parameters
default_stream  launches on the default stream, enqueued on the captured stream as well
variables       addresses in variables of modules, which are others in each process (pure)
plan_builder    a captured graph turned into a plan, or why not (pure)
recorder        captures one call and writes its plan and the blobs beside it
"""
