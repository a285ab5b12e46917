"""Finding what was tried: before writing, and when a program comes again.

query        candidates that answer a question, and what is blocked, recommended and open
repeats      whether a program was archived before
skill_notes  humans' notes under skills/, searched together with the archive
"""
