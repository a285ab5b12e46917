"""Judges on the nodes of a Ray cluster: requests go out, records and reports come back.

pool            what judges of a cluster are asked; a lost node costs one try elsewhere
remote          a judge elsewhere: what it is asked, how its answers come, how it can be lost
profiling       profiles and calibration by its nodes, kept as if made here
connection      the cluster itself: nodes, actors and the security of the way there (Ray)
judge_actor     a judge on a node, as the actor that Ray runs there
node_profiling  profiles and calibration on a node
messages        what goes to nodes and back, beside what any judge understands
operator_files  files that are carried: of an operator to a node, and of a profile from it
nodes           which nodes can be used together, and why not the others (pure)
"""
