"""Trials: what was judged, archived or not, each as a commit of the very bytes with its record.

commits  writes and reads the commits of trials
table    the table of trials in the derived index
words    trials in words, for people
tidying  what trials weigh, and which go by rule
lineage  candidates and trials by name, and the candidate that a program was derived from
"""
