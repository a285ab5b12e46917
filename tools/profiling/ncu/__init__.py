"""Nsight Compute: hardware counters of one call.

session          profiles one workload: runs, reads the report, diagnoses, keeps
command          commands of Nsight Compute, and why it may leave no report
report           launches of a report, read from its CSV pages
source_page      samples of each instruction, read from its source page
counters         names of the counters behind each figure
kernel_profiles  a `KernelProfile` for each kernel, from raw counters
"""
