"""Commands on FlashInfer-Trace datasets, as FlashInfer-Bench has them.

collecting  collect: what a program's functions are called with, as a dataset
run         run: every solution of a folder, with the results as traces
reports     report: the archive's pages, and summary, best, merge and html of a dataset's traces
validation  validate: what is wrong with a dataset
folder      settings of commands whose dataset is named by position
"""
