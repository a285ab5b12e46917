"""`python -m kernel_harness.tools.candidate --socket FD`: the zygote."""

import sys

from .process.zygote import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
