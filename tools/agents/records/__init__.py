"""What is written of a search, in git, and what follows from it.

options   what a search is asked for, and when it is to stop
spending  what evaluations used, from the server's own records
events    what is written of a search, step by step
ledger    those steps as commits of a ref of the search's own
state     a search as its events tell it: rounds, what it used, the best
"""
