"""From counters to a bottleneck and what to change: pure."""
