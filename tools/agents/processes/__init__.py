"""Processes of agents: started confined, watched, and ended with all that they started.

confined        runs a command that can write nowhere but in given folders; started by name
readable_files  which folders a confined process may read, by those that it must not
agent_process   one start of an agent: its time limit, its output, its end
"""
