"""What evaluations say of a suite.

outcomes     the outcome of each task
fast_p       fast_p, rates and the geometric mean of speed-ups, with intervals
score_table  a score as lines of text
"""
