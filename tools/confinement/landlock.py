"""Restricts the files that a process can reach, by the kernel's Landlock where it has it.

An allow-list of folders: what is not named cannot be opened for reading, writing or running, by
this process or any it starts, for good. Newer kernels also keep it from signalling processes
outside and from their abstract sockets. It does not hide that a file exists.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Iterable
from pathlib import Path

from . import syscalls

_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_RULE_PATH_BENEATH = 1
_VERSION_FLAG = 1

_EXECUTE, _WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 0, 1 << 1, 1 << 2, 1 << 3
_FIRST_ABI = (1 << 13) - 1
_REFER, _TRUNCATE, _IOCTL_DEV = 1 << 13, 1 << 14, 1 << 15
_BIND_TCP, _CONNECT_TCP = 1 << 0, 1 << 1
_SCOPE_ABSTRACT_SOCKET, _SCOPE_SIGNAL = 1 << 0, 1 << 1
_FOR_FILES = _EXECUTE | _WRITE_FILE | _READ_FILE | _TRUNCATE | _IOCTL_DEV

READ = _EXECUTE | _READ_FILE | _READ_DIR
"""Read, list and run."""
EVERYTHING = _FIRST_ABI | _REFER | _TRUNCATE | _IOCTL_DEV


def abi() -> int:
    """Version of Landlock that this kernel speaks; 0 without it."""
    return max(syscalls.syscall(_CREATE_RULESET, None, 0, _VERSION_FLAG), 0)


def handled(version: int) -> tuple[int, int, int]:
    """Rights on files, on TCP ports, and scopes that a kernel of that version can restrict."""
    files = _FIRST_ABI
    files |= _REFER if version >= 2 else 0
    files |= _TRUNCATE if version >= 3 else 0
    files |= _IOCTL_DEV if version >= 5 else 0
    ports = _BIND_TCP | _CONNECT_TCP if version >= 4 else 0
    scopes = _SCOPE_ABSTRACT_SOCKET | _SCOPE_SIGNAL if version >= 6 else 0
    return files, ports, scopes


def restrict(readable: Iterable[Path], writable: Iterable[Path], *, network: bool = False) -> bool:
    """Restricts this process to the given files and folders; those that are missing are skipped.

    Args:
        readable: may be read, listed and run.
        writable: may be used in every way.
        network: TCP ports stay open.

    Returns:
        Whether the kernel enforces it now.
    """
    version = abi()
    if version == 0:
        return False
    files, ports, scopes = handled(version)
    ports = 0 if network else ports
    attributes = struct.pack("=QQQ", files, ports, scopes)
    size = 24 if version >= 6 else 16 if version >= 4 else 8
    ruleset = syscalls.syscall(_CREATE_RULESET, ctypes.create_string_buffer(attributes), size, 0)
    if ruleset < 0:
        return False
    try:
        for path in readable:
            _allow(ruleset, path, READ & files)
        for path in writable:
            _allow(ruleset, path, EVERYTHING & files)
        return syscalls.syscall(_RESTRICT_SELF, ruleset, 0) == 0
    finally:
        os.close(ruleset)


def _allow(ruleset: int, path: Path, rights: int) -> None:
    try:
        fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not path.is_dir():
            rights &= _FOR_FILES
        rule = ctypes.create_string_buffer(struct.pack("=Qi", rights, fd))
        syscalls.syscall(_ADD_RULE, ruleset, _RULE_PATH_BENEATH, rule, 0)
    finally:
        os.close(fd)
