"""Stand-ins where there is no GPU.

fake_device     a fake device for Triton's interpreter and for compiling
launches        describes launches, compiled and interpreted
triton_patches  corrects small floating-point types in Triton's interpreter
"""
