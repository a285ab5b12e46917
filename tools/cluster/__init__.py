"""Judges on the nodes of a Ray cluster: plans go out, records come back, nothing else leaves.

pool            evaluations on the judges of a cluster; a lost node costs one try elsewhere
connection      the cluster itself: nodes, actors and the security of the way there (Ray)
judge_actor     a judge on a node, as the actor that Ray runs there
operator_files  the files of an operator that decide a verdict, carried to a node
nodes           which nodes can be used together, and why not the others (pure)
"""
