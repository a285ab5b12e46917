"""What the code of tasks takes and gives, asked of a process of its own.

client      asks that process
task_probe  that process: runs each task's file in a fork, on tensors without memory
"""
