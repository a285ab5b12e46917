"""Choice of parents, contexts for roles, record holders and their child, advice.

parent_selection   which node of the search tree to expand next
policies           the ways to choose it: STARK's, its ablations, and others
tree               the search tree: one root, and who may be expanded
role_context       what a planner, a writer and a debugger should see of the search tree
record_holders     who is fastest at which size, and what choosing by size would gain
dispatch/          a child of several candidates that chooses between them by size
advice             advice after each candidate
anchors            where a plan allows a change, and whether the change stayed there
plans             plans that are told, inherited and held to
forecasts          what plans forecast, compared with what was measured
"""
