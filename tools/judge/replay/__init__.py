"""Launch plans of candidates judged and timed: what makes a latency sealed, or only claimed.

validation       what a plan's bytes must show before a runner is given them (pure)
recorded_call    one call recorded in a process of the candidate, checked
session          one plan in one runner: memory shared, calls replayed, outputs kept
program_runner   one runner of one program: inputs placed, calls replayed, outputs read
memory/          where the values of calls lie, as the judge sees it
output_checks    every timed output against what was expected
rotation         copies of a call's tensors, which calls back to back take in turn (pure)
wall_clock       batches by the judge's own clock: the witness of a plan, the yardstick
witness          bounds of the mean span by the judge's own clock (pure)
launched_work    what replays and ordinary calls launched, held against the plan (pure)
decision         sealed or claimed, with the reason in words (pure)
"""
