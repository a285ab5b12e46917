"""The zygote, the supervisor and the server of one evaluation.

zygote      imports torch once, then forks one candidate process for each trial
supervisor  starts a candidate, and kills what it leaves
build_cache  what compilers made, kept between candidates
serve       inside the candidate process: answers the judge's requests
process_signs  what a candidate leaves in its process that computes nothing
traced      answers a request to trace a call under the torch profiler
inspected   answers a request for the tensors that a call's host code names
deployed    makes a call as those will who put the program into theirs
library     builds a program's library for processes that are not ours
recorded    answers a request to record a call as a launch plan
"""
