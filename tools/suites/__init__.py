"""Other people's benchmarks: their tasks as operators, and their scores.

table           the suites by name: how each is imported and scored
kernelbench     KernelBench: tasks and candidates of a checkout, written as operator folders
reduced_sizes   a task's text with smaller sizes
operator_texts  the Python files that such an operator folder and a candidate begin with
probing         asks a process of its own what a task's code takes and gives
task_probe      that process: runs each task's file in a fork, on tensors without memory
origin          where an operator was imported from, kept beside it
outcomes        what evaluations say of each task of a suite
fast_p          fast_p, rates and the geometric mean of speed-ups, with intervals
score_table     a score as lines of text
"""
