"""Candidate processes, seen from the judge."""
