"""One candidate under one tool, and where profiles are kept."""
