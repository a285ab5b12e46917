"""Trials: what was judged, archived or not, each as a commit of the very bytes with its record.

commits  writes and reads the commits of trials
lineage  candidates and trials by name, and the candidate that a program was derived from
"""
