"""Is an output right, and was it computed honestly?

workload_checks   correctness and integrity over all cases of a plan, stage after stage
stages/           the plan's workloads; then many, repeated and disabled calls
call_verdict      the verdict on one call
integrity         one function per claim; pure
held_out_checks   calls every held-out case once
held_out_process  the process for held-out cases; its output is discarded
static_check      compiles for targets that need not be here
launch_check      is what was interpreted what was compiled?
time_budget       the time of a trial, and what a case will take of it
failures          statuses and failures of faults and lost processes; pure
not_judged        what this machine cannot judge, in one wording; pure
"""
