"""`python -m kernel_harness.tools.judge --device cpu --cache DIR`: one judge."""

import sys

from .main import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
