"""Commands for whole models: which operators to write kernels for.

ranking  rank-model: a program's operators by what can be won
"""
