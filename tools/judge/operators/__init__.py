"""What an operator's folder brings.

operator_adapter  loads the folder and calls its code: inputs, oracle, comparison, cost
generic_operator  inputs and oracle where the folder brings none
input_sets        inputs with their expected outputs: seeds, families, prefetching
input_files       one workload's inputs as a file
"""
