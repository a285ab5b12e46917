"""Queries, choice of parents, contexts for roles, advice."""
