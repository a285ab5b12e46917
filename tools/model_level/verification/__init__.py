"""What deployed kernels do to a whole program: its time, its outputs, and whose they are.

program_verification  `verify_program`: has the runs made, and compares them
runs/                 a program run with kernels and without, in its own interpreter
verified_runs         what the runs said, as it crosses from there
gains                 measured beside predicted gain, drift and the operator to blame; pure
predictions           the gain that calls of kernels predict; pure
target_files          what an operator stands for, in its folder
applications          which kernel stands for which function, and how its inputs are made
"""
