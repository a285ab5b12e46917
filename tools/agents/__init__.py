"""Unattended search: agents that are started for each round, and one that is built in.

round_facts  what one start of an agent is about, for programs
tuner/       the built-in agent: changes constants and small pieces of a program
clients/     the agents that can be started, and how each is spoken to
processes/   an agent's processes: confined, watched, ended
records/     what is written of a search, and what follows from it
searches/    the loop: rounds, budgets, resumption
comparison/  searches beside one another
lessons/     what a search taught, held to the record
"""
