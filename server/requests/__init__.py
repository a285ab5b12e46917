"""What surrounds every call of a tool."""
