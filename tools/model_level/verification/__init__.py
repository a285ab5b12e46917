"""What deployed kernels do to a whole program: its time, its outputs, and whose they are.

program_verification  `verify_program`: runs a program with and without kernels and compares
gains                 measured beside predicted gain, drift and the operator to blame; pure
predictions           the gain that calls of kernels predict; pure
verified_runs         what the runs said, as it crosses from the program's process
verified_run          a program run again and again, with kernels and without; started by name
target_files          what an operator stands for, in its folder
applications          which kernel stands for which function, and how its inputs are made
step_timing           times and outputs of a program's steps
call_timing           calls of kernels' targets, in their places in the program and by themselves
drift                 how far outputs are from one another
"""
