"""Commands of unattended searches: start, watch, stop, compare them, and what they taught.

optimize   starts and resumes a search, shows its state, ends it
reports    compares searches, drafts what they taught
endpoints  serves the tools to the agents of rounds, each with a token of its own
words      a search in lines, for a terminal
page       the same as a page that reloads itself
live       shows a search while it runs
"""
