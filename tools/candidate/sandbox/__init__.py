"""Confinement of a process before code or cubins of a candidate are loaded in it.

enter         every step in order, for a candidate and under a profiler
confined      runs a module of this package confined, from the command line
namespaces    namespaces, accounts, and the view of the file system
landlock      allow-list of files
seccomp       deny-list of system calls
syscalls      unshare, mount, capset and others that Python lacks
process_tree  finds, stops and kills descendants
"""
