"""`python -m kernel_harness.tools.judge --device cpu --cache DIR`: one judge."""

import os
import sys

from .main import main

if __name__ == "__main__":
    status = main(sys.argv[1:])
    sys.stderr.flush()
    # The thread that reads standard input cannot be joined, and Python would abort over its lock.
    os._exit(status)
