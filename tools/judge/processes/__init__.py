"""Candidate processes and runners, seen from the judge.

context            what outlives a trial: device, zygotes, prewarmed processes
device             facts about device and machine; NVML
candidate_process  one candidate process: start, send, receive, kill
log_pipe           the beginning and the end of its output
runner_process     one runner: started, asked, killed
prewarmed          processes whose CUDA context is made in advance
lost               how a process was lost
progress           progress messages to the server; cancellation from it
triton_cache       compiled kernels, copied between processes with the same sources
cleanup            evicts old builds, removes stale folders
"""
