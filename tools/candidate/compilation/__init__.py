"""From a candidate's sources to something callable.

builders       one builder per language; builds and loads a candidate
native         CUDA and C++: compiled, linked, kept by content, loaded
object_cache   one object file per source, kept and found again
compile_flags  headers, flags and libraries of each binding
own_flags      flags that a candidate asks its compilers for
extensions     loads extension modules, which get tensors of a device
sources        sources on disk, and what every builder shares
toolchain      compilers of this machine, and running them
exports        what C++ sources export, read from their text; pure
missing_headers  headers of libraries that this machine lacks; pure
"""
