"""What is known about this machine, its devices and the targets that are compiled for.

calibration   measured rates of a device, in place of nominal ones
environment   compilers, profilers and libraries of this machine
gpus          the GPUs of this machine, and those that the settings choose
hardware      devices and architectures from kernels/hardware.json
targets       devices and architectures by the names that people use
measurements  figures of microbenchmarks
noise_floor   noise of a device by decade of latency, and the least effect that counts
occupancy     resident thread blocks from registers, shared memory and threads
roofline      least time that a device needs for given work
"""
