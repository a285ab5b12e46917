"""What the machine does while calls are timed.

clock_monitor    clocks, power and throttling through NVML
machine_load     work of others on the device and on the processor
nvml             what NVML tells of a device
"""
