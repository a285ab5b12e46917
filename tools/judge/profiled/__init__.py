"""Calls for a profiler, which runs outside the judge and judges nothing.

answers          which module answers a request, and what is answered where it fails
called_solution  a solution in a process of its own, built and called
compiled_code    what one call's kernels are compiled to for a target
recorded_calls   records one call of a solution on each workload and writes it to files
inspected_calls  one call of a solution and one of the reference, tensor beside tensor
traced_calls     traces one call of a solution on each workload with the torch profiler
"""
