"""Records of a search: what was planned, and who made it.

plan     a plan: one idea, where it may change the sources, and what it is expected to gain
made_by  the client, model and session that made a plan or a candidate
"""
