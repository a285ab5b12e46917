"""compute-sanitizer: bad addresses, races, uninitialised reads.

session   runs one workload under one tool
findings  commands of the four tools, and their findings by source line
"""
