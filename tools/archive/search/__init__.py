"""Queries, choice of parents, contexts for roles, advice.

query             what is blocked, recommended and open; whether a program was tried before
parent_selection  which candidate to expand next
role_context      what a planner, a writer and a debugger should see of the search tree
advice            advice after each candidate
anchors           where a plan allows a change, and whether the change stayed there
skill_notes       humans' notes under skills/, searched together with the archive
"""
