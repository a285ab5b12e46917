"""Stand-ins where there is no GPU."""
