"""Git itself, which knows nothing of candidates.

repository     git plumbing on one bare repository
commands       processes of git; all are started here
configuration  what git may read of the user's and the machine's configuration: hardly anything
objects        formats of trees, commits and tags, and their signature
damage         refs that lead to what is not there
ref_writer     the process that changes refs
packing        packs what lies in files of its own, in the background once it is much
"""
