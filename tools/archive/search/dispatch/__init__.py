"""A child of several candidates that chooses between them on the host, by the size of one axis.

child          the solution: which parents it can hold, and its files
parts          the parents by the names that they have in it, and where one ends and the next begins
python_entry   the choice in Python
cuda_entry     the choice in C++, for CUDA parents with torch's binding
cpp_namespace  sources of C++ and CUDA put into a namespace
"""
