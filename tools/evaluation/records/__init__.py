"""Evaluations on disk: records that never change, notes of those under way, last latencies.

record_store    the write-once store of evaluations
under_way       evaluations without a verdict yet, and notes that outlive their server
last_latencies  what each workload took last
"""
