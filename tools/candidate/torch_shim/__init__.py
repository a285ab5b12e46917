"""Torch's C++ interface without its headers.

eligibility  which sources the shim serves, and where its files are written
headers      texts of the shim's headers and of their implementation
"""
