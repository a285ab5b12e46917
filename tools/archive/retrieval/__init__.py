"""Finding what was tried: before writing, and when a program comes again.

query              candidates that answer a question, and its directions
filters            a question, and its conditions as SQL
directions         what is blocked, recommended and open
transitions        what each technique did to what it was tried on
operator_features  how alike two operators are
words              free text as a ranked question
repeats            whether a program was archived before
knowledge          skills, lessons and sources, asked together
sources            code of others that lies here, by its words
skill_notes        humans' notes under skills/, searched together with the archive
"""
