"""One candidate under one tool, and what is kept of it.

tool_run       a profiled run: private folder, request, command, result
profile_store  the one writer of profiles
profiles       records of a profile, and the comparison of two
"""
