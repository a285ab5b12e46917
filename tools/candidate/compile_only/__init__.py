"""Compiling for devices that are not here.

targets         compiles every kernel that one call would launch
compile_errors  compile errors at lines of the candidate's own files
cubin           reads resources and instructions of a compiled kernel
"""
