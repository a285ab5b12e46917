"""The trusted process of one device: makes inputs, owns the shared memory, decides the verdict.

main               requests in, answers out; one trial at a time
serving/           the stream to and from the server; plans that only compile
trial              the stages of one plan, in order
trial_processes    the processes of a trial: what each builds, and their end
trial_static       compiling for targets within a trial
trial_timing       timing within a trial
host_code          what host code names that no stand-in for a GPU answers; pure
evaluation_record  the record of a trial
trial_parts        what every stage of a trial works with
calibrate          measures a device's rates; started by name
microbenchmarks/   what a device does with the simplest code
timing/            paired, verified calls with a cold cache
deployment/        can what is right be used as frameworks use it?
profiled/          calls recorded for a profiler
replay/            launch plans replayed in a process without candidate code
machine/           what the machine does while calls are timed
checks/            is an output right, and was it computed honestly?
calls/             one judged call and the memory shared for it
processes/         candidate processes and runners, seen from the judge
operators/         what an operator's folder brings
philox/            random values, the same on every device
numerics/          comparison of values; pure
"""
