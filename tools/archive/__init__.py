"""What was learnt: every candidate is a commit, its parents are what it was derived from.

    store/archive            the archive itself: add, get, iterate, compare
    store/git_repository     git's plumbing; the only file that knows GitPython
    store/index_sync         reads commits, and keeps the index up to git's refs
    store/manifest           the manifest of a candidate, its commit message and its notes
    store/entry              a candidate in one line: what selection, search and advice decide on
    store/normalise          sources without comments and formatting, to recognise a repeat
    store/index              derived search index (SQLite), rebuilt from git alone
    search/query             what is blocked, recommended and open; skill_notes: humans' notes
                               beside it
    search/parent_selection  which candidate to expand next
    search/role_context      what a planner, a writer and a debugger should see of the tree
    search/anchors           where a plan allows a change, and whether the change stayed there
    search/advice            advice after each candidate
    promotion/events         tags, evidence and branches of a promotion, and the way back
    promotion/rules          the rules under which a candidate becomes the best
    store/transfer           remotes and bundles
    report/website           a static site (pages, drawings, plots, templates/)
    report/terminal          the same for a terminal

Git is the only truth: whatever else lies beside the repository can be deleted.
"""
