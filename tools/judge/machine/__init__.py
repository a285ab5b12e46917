"""What the machine does while calls are timed.

clock_monitor    clocks, power and throttling through NVML
clock_rate       waiting for the usual rate, by work of a fixed number of cycles
machine_load     work of others on the device and on the processor
nvml             what NVML tells of a device
"""
