"""The trusted process of one device: it makes the inputs, owns the memory and gives the verdict.

main             frames in, frames out; one trial at a time
room             what outlives a trial: the device, the zygotes, draws made ahead
trial            carries out one plan, stage by stage
record           writes down how it ended
reporting        progress out, cancellation in
session          one candidate process from this side: start, send, receive, kill
waiting          processes whose device is up before their candidate is there
blocks           the fresh processes that a timing is made in
apart            a process for held-out cases, whose words nobody is shown
triton_cache     compiled kernels, carried between processes of one content
kept_builds      the folder of finished builds, within a bound
leftovers        private folders that killed judges could not remove
arena            the memory shared with a candidate: placement and guard bands
exchange         one judged call: place, poison, call, copy out, look at everything
judged_operator  what an operator folder brings: inputs, oracle, comparison, cost
generic          stand-ins for an operator that brings nothing
inputs           draws: seeds, families, twins, and what they must give
checking         correctness and integrity over all cases
pace             how much time there is, and what a case will take
verdict          from what one call left behind to a verdict on it
correctness      does one output agree? (pure)
expectation      the quick way to a yes
mismatch         how one that does not agree is shown (pure)
clusters         where mismatches lie, in words (pure)
integrity        one function per claim (pure)
static_check     compiling for targets that are not here
timing           paired, verified, cold calls
timed_calls      its calls: verified at once, their times read later
samples          timed calls, and when there are enough of them (pure)
clocks           NVML beside them
floors           the least times of a case
calibration      a device's rates, measured once
materialise      one workload's inputs as a file
failures         faults and losses in words an agent can act on (pure)
"""
