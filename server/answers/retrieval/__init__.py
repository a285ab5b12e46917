"""Answers of searches.

search  techniques by verdict, and a page of candidates
"""
