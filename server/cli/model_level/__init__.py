"""Commands for whole models: which operators to write kernels for, and what those gain.

ranking            rank-model: a program's operators by what can be won
verification       verify-model: a program with deployed kernels and without
program_arguments  arguments that these commands share
"""
