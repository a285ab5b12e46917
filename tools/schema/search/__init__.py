"""Records of a search: who made what.

made_by  the client, model and session that made a plan or a candidate
"""
