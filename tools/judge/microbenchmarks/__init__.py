"""What a device does with the simplest code: its rates and latencies, one kernel at a time.

findings        the measurements so far, and how each was made
stopwatch       spans of device work by CUPTI
memory          copies by size and policy, one dependent load
launches        an empty kernel, and each further one
barriers        barriers of a block, a cluster and a grid
tensor_cores    products of matrices, and tensor-core instructions by shape
matrix_kernels  CUDA source of kernels of one such instruction; pure
"""
