"""The command line.

main      the command `kernel-harness`: serve, and every tool as a command
commands  shared parts of commands that open the Harness
setup     install, uninstall, doctor
archive   log, best, show, diff, report; bundle, fetch, push, rebuild-index
records   recompute, calibrate
trust     trust: whose signed records count here
"""
