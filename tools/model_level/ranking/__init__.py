"""A program's operators by what can be won.

program_ranking  `rank_program`: runs a program under the profiler and ranks its operators
ranking          shares, floors and Amdahl's bounds of what was seen; pure
observations     what was seen, as it crosses from the program's process
profiled_run     a program run with some of its steps profiled; started by name
attribution      the profiler's events by operator; pure
regions          modules and functions of the program that are entered
device_rates     what this device does with copies and matrix products
"""
