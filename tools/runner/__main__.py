"""Starts a runner: `python -m kernel_harness.tools.runner --device 0 --control 5`."""

from __future__ import annotations

import argparse
import socket

from .. import process_control
from .serve import RunnerServer


def main() -> None:
    """Serves the judge at the other end of a connected socket, whose descriptor is inherited."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--device", type=int, default=0)
    parser.add_argument("--control", type=int, required=True)
    options = parser.parse_args()
    process_control.die_with_parent()
    process_control.forbid_dumps()
    RunnerServer(socket.socket(fileno=options.control), options.device).serve()


if __name__ == "__main__":
    main()
