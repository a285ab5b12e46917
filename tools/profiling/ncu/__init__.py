"""Nsight Compute: command, session, report."""
