"""The MCP server and the command line: arguments, wording and wiring; decisions are in `tools`.

Nothing here imports torch, git, numpy or matplotlib.

__main__       the command line, as a module to run
app            builds the MCP server
lifecycle      serves stdio or HTTP, and ends every child process
mcp_tools/     one function for each MCP tool
requests/      handling that surrounds every request
answers/       records of the domain as models and sentences
resources/     resources, prompts and skills that a client can read
roles/         texts of the four roles, as prompts and sub-agents
cli/           the command line
client_setup/  registration with MCP clients, and what they lack
"""
