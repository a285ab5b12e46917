"""Comparison of values, which is pure, and the settings that they are computed by.

correctness     compares one output with the oracle's
fast_path       accepts outputs that are clearly right in a few passes
limits          how far an output may be from the oracle, as a policy states it
mismatch        describes mismatches: worst element, count, location
mismatch_words  tells a mismatch: its kind, its figures, what to do
symptoms        recognises the usual causes of a mismatch
element_sample  the mismatched elements that a cause is tried on
packed          float4 in pairs as numbers that can be compared
sampling        judges outputs that are drawn at random
torch_settings  what torch computes by, kept as it is whatever an operator sets
"""
