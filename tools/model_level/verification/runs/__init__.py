"""A program's runs, in the process that is started in its interpreter.

all_runs        a program run again and again, with kernels and without; started by name
placed_calls    calls of kernels' targets, timed in their places in the program
repeated_calls  the same calls, repeated by themselves
step_timing     times and outputs of a program's steps
drift           how far outputs are from one another
"""
