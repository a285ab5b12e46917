"""One function per MCP tool: arguments, one call, one answer."""
