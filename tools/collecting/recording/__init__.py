"""Calls of a running program, recorded.

program_parts     all that a program consists of, where no targets are named
targets           where a program keeps what is named, and how a recorder is put there
traced_function   one function's calls, or a share of them: grouped, counted and timed
wrapper_code      the code of a function that stands for a recorded one
call_arguments    the arguments of calls by name
call_groups       calls alike, and what is kept of the contents of their tensors
tensor_samples    samples of tensors that are not kept, and what their values are like
returned_values   what a function returns, as outputs of an operator
module_state      what a module's forward reads of the module, once and again
"""
