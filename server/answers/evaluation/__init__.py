"""Verdicts as answers.

models        models of the answers
answer        one evaluation: what decides, or all of it
limits        how much of a record an answer tells
summary       its screen of text
static_check  what compiling for targets showed
next_steps    what to do after a verdict
"""
