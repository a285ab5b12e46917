"""Confinement of a process before code or cubins of a candidate are loaded in it.

enter         every step in order, for a candidate and under a profiler
confined      runs a module of this package confined, from the command line
namespaces    namespaces, accounts, and the view of the file system
seccomp       deny-list of system calls
"""
