"""Whether an output is right, and honestly so."""
