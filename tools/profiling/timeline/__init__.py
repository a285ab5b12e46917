"""Kernels, copies and gaps of one call."""
