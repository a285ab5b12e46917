"""Answers of searches.

search     techniques by verdict, and a page of candidates
knowledge  passages of skills, lessons and code, with their places
"""
