"""A candidate under a profiler."""
