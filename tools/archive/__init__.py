"""What was learnt: every candidate is a commit, its parents are what it was derived from.

    store             the archive itself: add, get, iterate, compare
    repository        git's plumbing; the only file that knows GitPython
    catalogue         reads commits, and keeps the index up to git's refs
    candidate         the manifest of a candidate, its commit message and its notes
    node              a candidate in one line: what selection, search and advice decide on
    normalise         sources without comments and formatting, to recognise a repeat
    index             derived search index (SQLite), rebuilt from git alone
    search            what is blocked, recommended and open; skill_notes: humans' notes beside it
    selection         which candidate to expand next
    contexts          what a planner, a writer and a debugger should see of the tree
    anchors           where a plan allows a change, and whether the change stayed there
    supervisor        advice after each candidate
    promotion         tags, evidence and branches of a promotion, and the way back
    promotion_rules   the rules under which a candidate becomes the best
    transfer          remotes and bundles
    report            a static site (pages, drawings, plots, templates/)
    terminal          the same for a terminal

Git is the only truth: whatever else lies beside the repository can be deleted.
"""
