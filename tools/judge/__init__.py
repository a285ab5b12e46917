"""The trusted process of one device: it makes the inputs, owns the memory and gives the verdict.

main                         frames in, frames out; one trial at a time
processes/context            what outlives a trial: the device, the zygotes, draws made ahead
trial                        carries out one plan, stage by stage
evaluation_record            writes down how it ended
processes/progress           progress out, cancellation in
processes/candidate_process  one candidate process from this side: start, send, receive, kill
processes/prewarmed          processes whose device is up before their candidate is there
timing/process_pairs         the fresh processes that a timing is made in
checks/held_out_process      a process for held-out cases, whose words nobody is shown
processes/triton_cache       compiled kernels, carried between processes of one content
processes/cleanup            the folder of finished builds, within a bound
leftovers                    private folders that killed judges could not remove
calls/shared_memory          the memory shared with a candidate: placement and guard bands
calls/judged_call            one judged call: place, poison, call, copy out, look at everything
operators/operator_adapter   what an operator folder brings: inputs, oracle, comparison, cost
operators/generic_operator   stand-ins for an operator that brings nothing
operators/input_sets        draws: seeds, families, twins, and what they must give
checks/workload_checks       correctness and integrity over all cases
checks/time_budget           how much time there is, and what a case will take
checks/call_verdict          from what one call left behind to a verdict on it
numerics/correctness         does one output agree? (pure)
numerics/fast_path           the quick way to a yes
numerics/mismatch            how one that does not agree is shown (pure)
numerics/symptoms            the usual causes of a mismatch, recognised (pure)
numerics/element_sample      the mismatched elements that a cause is tried on (pure)
checks/integrity             one function per claim (pure)
checks/static_check          compiling for targets that are not here
timing/paired_timing         paired, verified, cold calls
timing/timed_calls           its calls: verified at once, their times read later
timing/samples               timed calls, and when there are enough of them (pure)
timing/clock_monitor         NVML beside them
timing/case_floors           the least times of a case
calibrate                    a device's rates, measured once
operators/input_files        one workload's inputs as a file
checks/failures              faults and losses in words an agent can act on (pure)
"""
