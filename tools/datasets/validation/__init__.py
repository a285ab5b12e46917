"""What is wrong with a FlashInfer-Trace dataset, by FlashInfer-Bench's categories.

report           the categories, and what was found in them, as text and JSON
rules            a function for each category
python_sources   whether Python functions can be called, by their text
benchmark_check  runs references and baselines: the one category that runs anything
stored_tensors   whether the tensors that workloads name are there
"""
