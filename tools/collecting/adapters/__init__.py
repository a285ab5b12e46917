"""How calls of libraries become inputs of operators.

adapter               what an adapter is; `Adapter`
table                 those that come with the harness, by target
torch_functions       attention, linear and RMS norm of torch
transformers_modules  experts and norms of transformers' models
flashinfer_wrappers   attention and RMS norm of FlashInfer
replay                an adapter's reference beside the calls that it was made for
"""
