"""The untrusted process: builds a candidate, calls it, times it, and is believed in nothing.

Started by module name, never imported by another room. It imports `messages` and `errors` only, and
holds neither the reference nor its outputs, neither seeds nor tolerances.
"""
