"""The torch profiler: kernels, copies and gaps of one call.

session               traces one workload: runs, reads the trace, keeps
chrome_trace          the timeline of one call, read from a Chrome trace
estimated_bottleneck  the bottleneck from durations and floors, without counters
"""
