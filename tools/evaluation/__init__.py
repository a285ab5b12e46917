"""Asking for a verdict, from the server's side: light, and believing only the judge.

plan          a request and a scope become an EvaluatePlan (pure)
precheck      faults that need no process: syntax, a missing entry point (pure)
judge_pool    starts, queues, cancels and restarts judges, one per device
comparison    raw samples become ratios, intervals, decisions, totals (pure)
record_store  the write-once store of evaluations
service       the flow: precheck, plan, pool, comparison, record
"""
