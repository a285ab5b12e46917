"""The built-in agent: changes constants and small pieces of a program; no model, no operator known.

It is the control in every comparison, and what runs where no other agent is installed. What it
proposes follows from a program's syntax and from what earlier trials in the archive gained.

edits             one change of a program, and the program with some of them
python_numbers    numbers of host code: tiles, warps, stages, split factors
triton_accesses   loads, stores, loops and the order of programs of Triton kernels
native_sources    numbers and pragmas, launch bounds and cached loads of CUDA sources
memory            what was seen of edits, as lines in lessons and notes
proposals         which edits to try next
mcp_session       calls of the server's tools by this agent
tuning_round      one round: variants written, raced, kept
"""
