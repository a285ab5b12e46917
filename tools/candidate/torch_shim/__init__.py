"""Torch's C++ interface without its headers."""
