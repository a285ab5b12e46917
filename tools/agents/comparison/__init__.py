"""Searches beside one another: which agent, model or policy gets further, and at what cost.

course       how far a search was after so many rounds, seconds, or dollars; pure
compared     several groups of searches: rates, speedups with intervals, costs; pure
tables       those as lines of text and as plain data
course_plot  their courses as a picture
"""
