"""The agents that a search can start: one small protocol, and a table of clients that speak it.

An agent is a command in a working folder, with an environment, the prompt on standard input or as
its last argument, an exit status, and perhaps a JSON usage on standard output. The MCP server's
address and token are in its configuration, and for programs in round.json.

protocol  a command line with its configuration files, and the agent of a text
table     Claude Code, Codex, Gemini CLI, opencode and the built-in tuner
usage     tokens and money, as clients report them
"""
