"""Kernels as they are handed to the programs that use them.

kernel_index  the index of a folder of deployed kernels: what each is, proven for, and every file
"""
