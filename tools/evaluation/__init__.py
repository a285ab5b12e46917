"""Asking for a verdict, in the server's process: light, and trusting only the judge.

service            one evaluation: precheck, plan, judge, statistics, record
plan               a request and its scope become the judge's orders
precheck           faults that need no process: syntax, a missing entry point
judge_pool         starts, queues, cancels and restarts judges, one per device
judge_process      one judge's process: messages to it and from it
comparison         ratios, intervals, decisions and totals from raw samples
floors             least possible times of each workload on the measured device
ladder/            what else computes the operator, and how many times faster a candidate is
static_resources   occupancy and instruction classes of what was compiled
records/           evaluations on disk, finished and under way, and last latencies
noise_calibration  the device's noise level, from kernels compared with themselves
rejudge            a record judged again from its seeds, or recomputed from its samples
"""
