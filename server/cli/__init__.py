"""The command line.

main             the command `kernel-harness`: serve, and every tool as a command
groups           the commands as --help lists them
commands         shared parts of commands that open the Harness
local_arguments  paths of the current folder, and a Solution that lies in a folder or a file
setup            install, uninstall, doctor
archive          log, best, show, diff; bundle, fetch, push, rebuild-index
cluster          cluster status: the nodes of a Ray cluster
dispatch         dispatch: the child that chooses between the record holders
records          recompute, calibrate; trust: whose signed records count here
suites           import, score: other people's benchmarks
searching/       optimize, compare, lessons: searches that run with nobody beside them
transfer/        export, pack, extract, trajectories; batch
model_level/     rank-model, extract-operator, verify-model: whole models
datasets/        run, validate, report: FlashInfer-Trace datasets as FlashInfer-Bench uses them
"""
