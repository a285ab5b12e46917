"""Candidates as git commits.

archive         the archive itself: add, get, iterate, compare
transfer        remotes and bundles, and the quarantine of what is fetched
index_sync      reads commits, and keeps the index up to git's refs and to the trusted keys
promotion_tags  promotions and rollbacks, decided here or elsewhere, from tags
index           search index (SQLite), derived from git
connections     connections to the index's file, kept for the next question
trials/         what was judged, archived or not, as commits of their own
plans/          ideas that were told before they were written
amendments      what was said of a candidate after it was archived
commit/         what the commit of a candidate holds
manifest        manifest of a candidate, and the candidate as read
entry           facts of a candidate, derived once from its evaluation
normalise       sources without comments and formatting, to recognise a repeat
"""
