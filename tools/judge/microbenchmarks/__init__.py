"""What a device does with the simplest code: its rates and latencies, one kernel at a time.

findings      the measurements so far, and how each was made
stopwatch     spans of device work by CUPTI
memory        bandwidth by size, and one dependent load
launches      an empty kernel, and each further one
tensor_cores  products of matrices in each precision
"""
