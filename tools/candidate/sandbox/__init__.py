"""Confinement of a process before any of a candidate's code is loaded.

enter         every step in order, for a candidate and under a profiler
namespaces    namespaces, accounts, and the view of the file system
landlock      allow-list of files
seccomp       deny-list of system calls
syscalls      prctl, unshare, mount and others that Python lacks
process_tree  finds and kills descendants
"""
