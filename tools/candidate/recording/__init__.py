"""One call of a candidate recorded as a `LaunchPlan`, in the candidate's own process.

allocator       torch's memory taken from a reservation that a runner can have, too
module_log      every cubin that was loaded, and which of them a function comes from
fresh_modules   cubins loaded once more: what functions and variables are like unused
launch_calls    what an ordinary call launches: kernels, grids, parameters
default_stream  launches on the default stream, enqueued on the captured stream as well
driver_memory   memory that the driver placed, at addresses that a runner can have (pure)
variables       addresses in variables of modules, which are others in each process (pure)
replayable      whether a runner can have what a launch names, or why not (pure)
plan_builder    a captured graph turned into a plan, or why not (pure)
recorder        captures one call and writes its plan and the blobs beside it
"""
