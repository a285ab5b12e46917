"""Bindings of libcuda and CUPTI through ctypes; imported by judge, runner and candidate.

They need no package: the symbols are those that the driver exports, and a process without torch
reaches its context in a tenth of a second.

    library          libcuda: loading it, its errors, contexts, streams, events, copies
    structures       structures of cuda.h, with their layout
    scratch_library  the compiled allocator that torch takes scratch memory from (scratch.c)
    virtual_memory   reservations at fixed addresses, allocations that cross processes
    modules          cubins loaded, their functions and globals; kernel launches
    module_variables  the variables of loaded modules, read in few copies
    graphs           the nodes and edges of a captured graph as plain data
    graph_capture    work on a stream captured into a graph that one call launches
    cubin            what a cubin's ELF tables say: kernels, globals, architecture (pure)
    cupti            libcupti: loading it, activity records, callbacks
"""
