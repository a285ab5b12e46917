"""`python -m kernel_harness.server` is the command `kernel-harness`."""

from .cli import main

main()
