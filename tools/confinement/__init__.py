"""What Linux offers to confine a process, and to find what it started; knows no candidate.

landlock      allow-list of files
syscalls      unshare, mount, capset and others that Python lacks
process_tree  finds, stops and kills descendants
"""
