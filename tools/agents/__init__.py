"""Unattended search: agents that are started for each round, and one that is built in.

round_facts  what one start of an agent is about, for programs
tuner/       the built-in agent: changes constants and small pieces of a program
"""
