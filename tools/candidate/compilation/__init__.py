"""Builds a candidate's sources."""
