"""The skills that ship: one folder each, in the Agent Skills format. README.md says who edits them."""
