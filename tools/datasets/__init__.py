"""FlashInfer-Trace datasets as FlashInfer-Bench uses them: run, rank, join, validate.

trace_set     a dataset as it lies on disk, and what of it cannot be read
ranking       how solutions and authors rank by its traces
report_lines  a ranking as lines of text, tables and JSON
report_page   a ranking as a page
templates/    the page
merging       several datasets as one, in a new folder
"""
