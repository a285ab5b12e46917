"""Domain records as models and sentences for clients.

result            base of all answers: declared fields filled from records
models            models of the answers on the machine, workloads and workspaces
text              what all answers share: budgets, numbers, tables
workloads         environment, definitions, workloads, shapes, workspaces, slices
evaluation/       verdicts, what compiling showed, what to do next
plans             plans, and whether a change kept to one
archive           archived candidates, parents, contexts of roles
retrieval/        what a search of the archive found
tuning            many variants in one table
promotion         promotions and rollbacks
rankings          operators of a whole program by what can be won
profiling/        profiles and what else was measured or looked into
"""
