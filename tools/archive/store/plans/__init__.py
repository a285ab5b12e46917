"""Plans: ideas that were told before they were written, each as a commit of its scaffold.

commits  writes and reads the commits of plans
listing  the plans that count here, from the index
"""
