"""The skills that ship: one folder each, as the Agent Skills format has it; see README.md."""
