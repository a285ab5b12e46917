"""What is checked of a candidate's calls, stage by stage.

checked_calls   makes calls, judges each, and keeps what was found of every case
public_cases    the plan's workloads, cheapest first
repeated_calls  many calls, the same one again, and one with its kernels disabled
"""
