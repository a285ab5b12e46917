"""A candidate under a profiler.

launch      runs a profiler's command under the candidate's account
run         builds a candidate, warms it up, and calls it once for the profiler
call_trace  one call on a timeline, and the host's time of unprofiled calls
"""
