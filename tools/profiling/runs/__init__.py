"""One candidate under one tool, and what is kept of it.

run_files      what is profiled, and the files of its run
tool_run       a profiled run: private folder, request, command, result
profile_store  the one writer of profiles
profiles       records of a profile, and the comparison of two
"""
