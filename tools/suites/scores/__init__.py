"""What evaluations say of a suite.

outcomes       the outcome of each task
fast_p         fast_p, rates and the geometric mean of speed-ups, with intervals
sol_score      SOL-ExecBench's score between a baseline and the hardware's bound
leaderboard    the time that each task ranks by
team_score     a contest's teams by definition, and their places by track
intervals      shares and means with their intervals
curve_plot     the picture of a score: shares of tasks above a threshold
suite_status   the status that another suite has for a verdict
score_table    fast_p as lines of text
"""
