"""Calls for a profiler, which runs outside the judge and judges nothing.

recorded_calls  records one call of a solution on each workload and writes it to files
"""
