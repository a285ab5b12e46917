"""A ladder of baselines: what else computes the operator, and how many times faster a candidate is.

rungs       the programs, from the plainest to the peers, and the time that each is given
rung_times  times each once in an evaluation of its own, and compares
"""
