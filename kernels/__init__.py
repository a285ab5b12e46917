"""Operators: one folder each, found by name; adding an operator is adding a folder."""
