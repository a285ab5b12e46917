"""The commit of a candidate: what may be in one, its message, and the files of its tree.

agreement  whether sources, record and definition belong together
message    subject, words and trailers, which plain git can list
profiles   the bottlenecks that its profiles name
prose      an author's words as they are stored
tree       every file of the tree, and the notes for a reader
"""
