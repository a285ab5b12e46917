"""A search that runs with nobody beside it: rounds of agents, every step in git.

search_folder  a search's files: its lock, its rounds' folders, the request to stop
round_harness  the services of one round: its own workspaces, its own limit
prompts        what an agent is told, in words
agent_step     one start of an agent in a round's folder
search_round   one round: agents started, results taken from the records
dry_run        the first start of an agent, as it would be
search_loop    rounds until the search is to stop
"""
