"""Random inputs by Philox4x32-10: the same values on every device, at a GPU's speed on a GPU.

generator        what inputs are drawn from: Philox, or torch's own generator
blocks           the rounds of Philox in torch operations: the definition, on any device
tables           what random words become: normal values, and quantiles in e4m3
kernel_source    the same in PTX
device_kernels   loads these kernels, compares them with the definition, launches them
index_inputs     integers that point into other inputs: offsets, pages, lengths
index_uses       what integers point into, read from the reference's code
recorded_inputs  values like those that a program was recorded with
"""
