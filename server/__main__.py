"""`python -m kernel_harness.server` is the command `kernel-harness`."""

from .cli.main import main

main()
