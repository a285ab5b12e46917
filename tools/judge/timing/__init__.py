"""Paired, verified, cold calls."""
