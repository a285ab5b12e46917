"""Refuses system calls that no candidate needs, by a seccomp filter.

A deny-list, for CUDA's driver uses much and says little of it; what is refused is what reaches
other processes, the network, the kernel's configuration or its least proven parts. The filter is
assembled here as classic BPF, so that nothing need be installed. It cannot look behind pointers:
`clone3`, whose flags lie in memory, answers ENOSYS, and the C library falls back to `clone`.
"""

from __future__ import annotations

import ctypes
import errno
import platform
import socket
import struct

from ... import process_control
from ...confinement import syscalls

_ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_COLUMN = {"x86_64": 0, "aarch64": 1}
_X32_BIT = 0x40000000

DENIED: dict[str, tuple[int | None, int | None]] = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "process_madvise": (440, 440),
    "pidfd_getfd": (438, 438),
    "kcmp": (312, 272),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "keyctl": (250, 219),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "unshare": (272, 97),
    "setns": (308, 268),
    "open_tree": (428, 428),
    "move_mount": (429, 429),
    "fsopen": (430, 430),
    "fsconfig": (431, 431),
    "fsmount": (432, 432),
    "fspick": (433, 433),
    "mount_setattr": (442, 442),
    "open_by_handle_at": (304, 265),
    "name_to_handle_at": (303, 264),
    "fanotify_init": (300, 262),
    "kexec_load": (246, 104),
    "kexec_file_load": (320, 294),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "delete_module": (176, 106),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "swapon": (167, 224),
    "swapoff": (168, 225),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "setdomainname": (171, 162),
    "iopl": (172, None),
    "ioperm": (173, None),
    "acct": (163, 89),
    "settimeofday": (164, 170),
    "adjtimex": (159, 171),
    "clock_settime": (227, 112),
    "clock_adjtime": (305, 266),
    "syslog": (103, 116),
    "quotactl": (179, 60),
    "vhangup": (153, 58),
}
"""Name to its number on x86_64 and on aarch64."""

_SOCKET, _CLONE, _CLONE3, _PRCTL = (41, 198), (56, 220), (435, 435), (157, 167)
_NAMESPACES = (
    syscalls.CLONE_NEWNS
    | syscalls.CLONE_NEWUTS
    | syscalls.CLONE_NEWIPC
    | syscalls.CLONE_NEWUSER
    | syscalls.CLONE_NEWPID
    | syscalls.CLONE_NEWNET
    | 0x02000000
)

_LOAD, _EQUAL, _AT_LEAST, _ANY_BIT, _RETURN = 0x20, 0x15, 0x35, 0x45, 0x06
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENT_AT = 0, 4, 16
_ALLOW = 0x7FFF0000
_REFUSE = 0x00050000 | errno.EPERM
_ABSENT = 0x00050000 | errno.ENOSYS

Instruction = tuple[int, int, int, int]
"""Code, jump if true, jump if false, operand; as struct sock_filter has them."""


def program(machine: str) -> list[Instruction]:
    """The filter for the native system calls of a machine.

    Args:
        machine: 'x86_64' or 'aarch64', as `platform.machine()` says it.
    """
    column = _COLUMN[machine]
    code: list[Instruction] = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, _ARCHITECTURES[machine]),
        (_RETURN, 0, 0, _REFUSE),
        (_LOAD, 0, 0, _NUMBER_AT),
    ]
    if machine == "x86_64":
        code += [(_AT_LEAST, 0, 1, _X32_BIT), (_RETURN, 0, 0, _REFUSE)]
    for numbers in DENIED.values():
        number = numbers[column]
        if number is not None:
            code += [(_EQUAL, 0, 1, number), (_RETURN, 0, 0, _REFUSE)]
    code += [(_EQUAL, 0, 1, _CLONE3[column]), (_RETURN, 0, 0, _ABSENT)]
    code += _when(_SOCKET[column], [(_EQUAL, 1, 0, socket.AF_UNIX), (_RETURN, 0, 0, _REFUSE)])
    code += _when(_CLONE[column], [(_ANY_BIT, 0, 1, _NAMESPACES), (_RETURN, 0, 0, _REFUSE)])
    code += _when(
        _PRCTL[column],
        [
            (_EQUAL, 0, 1, process_control.PR_SET_PDEATHSIG),
            (_RETURN, 0, 0, _REFUSE),
            (_EQUAL, 0, 1, process_control.PR_SET_DUMPABLE),
            (_RETURN, 0, 0, _REFUSE),
        ],
    )
    return [*code, (_RETURN, 0, 0, _ALLOW)]


def _when(number: int, body: list[Instruction]) -> list[Instruction]:
    """Instructions that run `body` on the first argument of one system call, then allow it."""
    inner = [(_LOAD, 0, 0, _ARGUMENT_AT), *body, (_RETURN, 0, 0, _ALLOW)]
    return [(_EQUAL, 0, len(inner), number), *inner]


def install() -> bool:
    """Installs the filter on this thread and all it starts, after no_new_privs; True on success."""
    machine = platform.machine()
    if machine not in _COLUMN:
        return False
    code = program(machine)
    packed = b"".join(struct.pack("=HBBI", *instruction) for instruction in code)
    instructions = ctypes.create_string_buffer(packed)
    header = struct.pack("@HP", len(code), ctypes.addressof(instructions))
    holder = ctypes.create_string_buffer(header)
    mode = syscalls.SECCOMP_MODE_FILTER
    return process_control.prctl(syscalls.PR_SET_SECCOMP, mode, ctypes.addressof(holder)) == 0
