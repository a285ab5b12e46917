"""Puts the server and its skills into MCP clients, and says what is missing.

registration  the server's entry in Claude Code and Codex, by their own commands
skill_files   copies of skills and sub-agents in a client's folders
doctor        what machine and clients lack, with the command that provides it
"""
