"""Whole models: which operators to write kernels for, and what kernels gain in the program.

ranking/        a program's operators by what can be won
extraction/     a ranked part of a program as an operator's folder
verification/   what deployed kernels do to a whole program
steps           what a program does again and again
program         a user's program: named, started, and run as if by itself
delayed_device  a device that is held back, and what clocks around calls add to their time
preloading      what a program imports of packages, imported once for several runs
served_program  the same for a server: apart from its input, and cancelled with the call
"""
