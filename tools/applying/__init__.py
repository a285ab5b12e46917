"""Kernels back into a program: calls go to a promoted kernel where it is proven, else as before.

routing        `apply`: a function, a name or a module of the program, and the way back
kernel_calls   the calls of one kernel: decided once for each set of sizes, made, counted
call_code      the code of a routed call, written for one kernel's arguments
proven_sizes   which calls a kernel is proven for, and why not the others; pure
missed_calls   calls that went to the original: counted, and written as workloads
replaced_attribute  something in an attribute's place, and the way back
loading        a kernel of a folder as something callable
kernel_folder  a folder that `kernel-harness deploy` wrote, every byte of it checked

`from kernel_harness.tools.applying.routing import apply` needs torch and nothing else.
"""
