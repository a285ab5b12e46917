"""What an operator's folder brings.

operator_adapter  loads the folder and calls its code: inputs, oracle, comparison, cost
generic_operator  inputs where the folder brings none
folder_code       the folder's Python files, loaded and called
reference         runs the definition's reference and names its faults
reference_check   finds references that are random, and outputs that are constant
sampled_draws    draws of outputs that are random, gathered and judged together
stored_inputs     tensors that a workload stores in files, and the checks that all inputs pass
held_out_cases    draws held-out cases: sizes, contents and scalars
input_sets        inputs with their expected outputs: seeds, families, prefetching
input_files       one workload's inputs as a file
"""
