"""The work of workloads, as an operator's own cost.py counts it.

cost_process  has it counted in a process whose time and memory are bounded
counting      that process
"""
