"""What was measured and looked into, in words: nothing here is a verdict.

profiles        profiles, timelines, sanitizer reports
inspection      one call looked into
compiled_code   the code of kernels, summed up and in part
device_figures  what is known of devices
"""
