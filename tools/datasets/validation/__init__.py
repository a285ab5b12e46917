"""What is wrong with a FlashInfer-Trace dataset, by FlashInfer-Bench's categories; nothing is run.

report          the categories, and what was found in them, as text and JSON
rules           a function for each category
python_sources  whether Python functions can be called, by their text
stored_tensors  whether the tensors that workloads name are there
"""
