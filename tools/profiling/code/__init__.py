"""What kernels were compiled to: read, searched, summed up and compared; nothing is timed.

service    compiles what a call launches, and keeps it
kernels    one compiled kernel: resources, texts, what the assembler warned of
excerpts   the part of a text that is asked for
findings   loops, source lines and what the notes refer to; pure
locations  source lines behind the lines of Triton's own forms; pure
sass       reads a disassembly; pure
"""
