"""What was learnt: every candidate is a commit, its parents are what it was derived from.

    store        the archive itself: add, get, iterate, compare
    repository   git's plumbing; the only file that knows GitPython
    candidate    the manifest of a candidate, its commit message and its notes
    node         a candidate in one line: what selection, search and advice decide on
    index        derived search index (SQLite), rebuilt from git alone
    search       what is blocked, recommended and open
    selection    which candidate to expand next
    contexts     what a planner, a writer and a debugger should see of the tree
    anchors      where a plan allows a change, and whether the change stayed there
    supervisor   advice after each candidate
    promotion    the rules under which a candidate becomes the best, and the way back
    transfer     remotes and bundles
    report       a static site; terminal: the same for a terminal

Git is the only truth: whatever else lies beside the repository can be deleted.
"""
