"""The capabilities, as plain Python; imports go one way, from the archive down to the errors.

agents/          unattended search, and the agent that is built in
model_level/     whole models: which operators to write kernels for, and what those gain
batches/         evaluations on machines without a connection
harness          the services of one server, opened together
operator_check   what makes an operator unfit to judge by, all of it
lookup           operators, candidates and solutions by the names that callers use
documents        long texts by their address, a slice at a time
tuning/          many variants of one program, compiled, raced and put together
datasets/        FlashInfer-Trace datasets as FlashInfer-Bench uses them: run, rank, validate
archive/         what was learnt: candidates in git, search, promotion, report
suites/          other people's benchmarks: tasks as operators, and scores
profiling/       why a kernel is slow
cluster/         judges on the nodes of a Ray cluster
evaluation/      asking for a verdict, in the server's process
distributed/     many GPUs: who has which, and who is the next
workloads/       what is measured: operators, workloads, regimes
collecting/      workloads out of a running program
devices/         what is known about this machine and its targets
schema/          FlashInfer-Trace's records and ours
signing/         signatures of records, and whose count here
messages/        everything that crosses a process boundary
driver/          bindings of libcuda and CUPTI, for judge, runner and candidate
judge/           a trusted process: inputs, reference outputs, checks and the verdict
applying/        promoted kernels in the user's own program; needs torch alone
candidate/       an untrusted process: builds and runs what is judged
runner/          a trusted process: replays a candidate's launches and holds the clock
settings         the only reader of the environment
progress         progress of a long call, and a listener that ignores it
confinement/     confines a process, and finds what it started
process_control  when this process dies, and who may look into it
folders          removes what a candidate left in a folder
text             untrusted text made fit to be shown
errors           the harness's own failures

Nobody imports `judge`, `candidate` or `runner`: they are started by name. `applying` is for users'
programs; of ours `model_level` alone imports it, in the user's process.
"""
