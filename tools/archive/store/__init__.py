"""Candidates as git commits, and the index derived from them."""
