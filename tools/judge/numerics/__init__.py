"""Comparison of values: pure."""
