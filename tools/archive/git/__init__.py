"""Git itself, which knows nothing of candidates.

repository  git plumbing on one bare repository; the only file that knows GitPython
objects     formats of trees, commits and tags, and their signature
"""
