"""What a client can read besides the answers of tools.

templates      resources by address: definitions, workloads, candidates, evaluations, profiles
prompts        the four roles and two skills as prompts
skills         skills read from disk, checked, and served by the MCP extension for skills
skill_updates  notices to clients when a skill changes
"""
