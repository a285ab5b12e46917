"""FlashInfer-Trace datasets as FlashInfer-Bench uses them: run, rank, join, validate.

run                carries out the jobs of a folder on one or several devices
jobs               what a run evaluates, and on which device next
evaluation_config  how each definition is judged and timed, by op_type and name
trace_writer       adds traces to the files of a dataset
trace_set          a dataset as it lies on disk, and what of it cannot be read
ranking            how solutions and authors rank by its traces
report_lines       a ranking as lines of text, tables and JSON
report_page        a ranking as a page
templates/         the page
validation/        what is wrong with a dataset, by category
solution_files     a solution as one JSON file and as a folder of sources
merging            several datasets as one, in a new folder
"""
