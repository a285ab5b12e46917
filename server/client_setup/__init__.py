"""Configuration of MCP clients."""
