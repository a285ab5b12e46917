"""What is known about this machine and its devices."""
