"""What was learnt: every candidate is a commit, its parents are what it was derived from.

Git is the only truth: whatever else lies beside the repository can be deleted.

    archiving   archive, search and recognise candidates, for one harness
    report/     the archive for people: website, charts, plots, terminal
    export/     the archive in other people's forms: datasets, submissions, trajectories
    promotion/  rules, verification and git events of a promotion
    search/     choice of parents, contexts for roles, advice
    retrieval/  what was tried: questions, repeats, human notes
    store/      candidates as git commits, and an index derived from them
    git/        git itself: objects, refs, commands
"""
