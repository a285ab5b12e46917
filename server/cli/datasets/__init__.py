"""Commands on FlashInfer-Trace datasets, as FlashInfer-Bench has them.

reports  report: the archive's pages, and summary, best, merge and html of a dataset's traces
"""
