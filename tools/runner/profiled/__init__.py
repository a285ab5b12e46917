"""A recorded call under a profiler: the judge has written it to files and is not there.

run  loads plans, brings their inputs, replays each once inside the profiler's range
"""
