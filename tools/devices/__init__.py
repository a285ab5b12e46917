"""What is known about this machine, its devices and the targets that are compiled for.

calibration   measured rates of a device, in place of nominal ones
device_lock   holds a GPU against the other servers of this machine
device_turns  turns at a device within one server
environment   GPUs, compilers, profilers and libraries of this machine
hardware      devices and architectures from kernels/hardware.json
targets       devices and architectures by the names that people use
measurements  figures of microbenchmarks
noise_floor   noise of a device by decade of latency, and the least effect that counts
occupancy     resident thread blocks from registers, shared memory and threads
roofline      least time that a device needs for given work
"""
