"""Attaches to other processes and reads their memory by system calls."""

import ctypes
import os
import sys

EXPECT = {
    "status": "INCORRECT_NUMERICAL",
    "kind": "unwritten_output",
    "never_shown": "a system call was granted",
}

PTRACE_SEIZE, PROCESS_VM_READV, PIDFD_OPEN, PIDFD_GETFD = 0x4206, 310, 434, 438
BPF, PERF_EVENT_OPEN, IO_URING_SETUP = 321, 298, 425


def run(x, w, table, alpha, y, row):
    libc = ctypes.CDLL(None, use_errno=True)
    for target in (os.getppid(), 1):
        handle = libc.syscall(PIDFD_OPEN, target, 0)
        tried = [
            libc.ptrace(PTRACE_SEIZE, target, None, None),
            libc.syscall(PROCESS_VM_READV, target, None, 0, None, 0, 0),
            libc.syscall(PIDFD_GETFD, handle, 0, 0) if handle >= 0 else -1,
            libc.syscall(BPF, 0, None, 0),
            libc.syscall(PERF_EVENT_OPEN, None, target, -1, -1, 0),
            libc.syscall(IO_URING_SETUP, 8, None),
        ]
        if any(result >= 0 for result in tried):
            sys.stdout.write(f"a system call was granted: {tried}\n")
