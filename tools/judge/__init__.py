"""The trusted process of one device: it makes the inputs, owns the memory and gives the verdict.

main         frames in, frames out; one trial at a time
trial        carries out one plan, stage by stage
session      one candidate process from this side: start, send, receive, kill
arena        the memory shared with it: placement, guard bands, poison
exchange     one judged call: place, poison, call, look at everything
operator     what an operator folder brings: inputs, oracle, comparison, cost
inputs       draws: seeds, families, held-out cases, twins
expected     what the draws must give, kept within a byte bound
correctness  does one output agree? (pure)
clusters     where do mismatches lie? (pure)
integrity    one function per claim
timing       paired, verified, cold calls; clocks watched meanwhile
failures     faults and losses in words an agent can act on (pure)
"""
