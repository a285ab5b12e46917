"""The MCP face: words and wiring; no torch, no git, no subprocess, no decision."""
