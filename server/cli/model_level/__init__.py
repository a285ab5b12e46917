"""Commands for whole models: which operators to write kernels for, and what those gain.

ranking            rank-model: a program's operators by what can be won
extraction         extract-operator: a row of the ranking as an operator
verification       verify-model: a program with deployed kernels and without
program_arguments  arguments that these commands share
"""
