"""What the ELF tables of a cubin say: its kernels, its writable globals, its architecture.

Pure, and careful: cubins come from candidates. Nothing is followed outside the bytes.
"""

from __future__ import annotations

import hashlib
import struct
from dataclasses import dataclass
from functools import cached_property

CUDA_MACHINE = 190
KERNEL_PREFIX = ".text."
GLOBAL_SECTIONS = (".nv.global", ".nv.constant3")
MOST_SECTIONS = 200_000
MOST_SYMBOLS = 1_000_000
MOST_NAME_BYTES = 65_536
MOST_NAMES_BYTES = 64 << 20
"""Of all sections: each may point into the middle of another's name."""
OBJECT, FUNCTION = 1, 2
SYMBOL_TABLE, WITHOUT_BYTES = 2, 8
RUN_SECTIONS = (
    *(".text.", ".rel.text.", ".rela.text.", ".nv.info", ".nv.shared."),
    *(".nv.constant", ".rel.nv.constant", ".rela.nv.constant", ".nv.global"),
)
"""Begin the names of the sections that decide what runs; others name files, lines and tools."""
_HEADER = struct.Struct("<4sBBBBB7xHHIQQQIHHHHHH")
_SECTION = struct.Struct("<IIQQQQIIQQ")
_SYMBOL = struct.Struct("<IBBHQQ")


class CubinError(ValueError):
    """Raised when bytes are not a cubin, or its tables lead outside it."""


@dataclass(frozen=True)
class Section:
    """One section of the file."""

    name: str
    kind: int
    offset: int
    nbytes: int
    link: int


@dataclass(frozen=True)
class Cubin:
    """The tables of one cubin."""

    data: bytes
    flags: int
    sections: tuple[Section, ...]

    @cached_property
    def kernels(self) -> frozenset[str]:
        """The mangled names of functions with code of their own."""
        return frozenset(
            s.name.removeprefix(KERNEL_PREFIX)
            for s in self.sections
            if s.name.startswith(KERNEL_PREFIX)
        )

    def code_digest(self) -> bytes:
        """A hash of what runs: equal of programs that differ in names of files and lines alone.

        Raises:
            CubinError: when sections lie over one another, and are more to read than the file.
        """
        run = [s for s in self.sections if s.name.startswith(RUN_SECTIONS)]
        if sum(s.nbytes for s in run if s.kind != WITHOUT_BYTES) > len(self.data):
            raise CubinError("Sections of the cubin overlap")
        found = hashlib.sha256()
        for section in sorted(run, key=lambda s: s.name):
            found.update(f"{section.name} {section.kind} {section.nbytes}\n".encode())
            if section.kind != WITHOUT_BYTES:
                found.update(self._content(section))
        return found.digest()

    def globals(self) -> dict[str, int]:
        """Bytes of each `__device__` and `__constant__` variable that a program can write."""
        writable = {
            number
            for number, section in enumerate(self.sections)
            if section.name.startswith(GLOBAL_SECTIONS)
        }
        found: dict[str, int] = {}
        for table in (s for s in self.sections if s.kind == SYMBOL_TABLE):
            names = bytes(self._content(self._linked(table)))
            for name, info, _, section, _, nbytes in _entries(self._content(table)):
                if info & 15 == OBJECT and section in writable and nbytes:
                    found[_text(names, name)] = nbytes
        return found

    def system_calls(self) -> set[str]:
        """Functions that the code calls and the driver supplies, as malloc, free, vprintf."""
        found: set[str] = set()
        for table in (s for s in self.sections if s.kind == SYMBOL_TABLE):
            names = bytes(self._content(self._linked(table)))
            for name, info, _, section, _, _ in _entries(self._content(table)):
                if info & 15 == FUNCTION and section == 0:
                    found.add(_text(names, name))
        return found

    def _linked(self, section: Section) -> Section:
        if section.link >= len(self.sections):
            raise CubinError("A symbol table names a section that is not there")
        return self.sections[section.link]

    def _content(self, section: Section) -> memoryview:
        return memoryview(self.data)[section.offset : section.offset + section.nbytes]


def section_names(data: bytes) -> bytes:
    """The names of a cubin's sections, each followed by a zero byte.

    Raises:
        CubinError: when the bytes are no cubin.
    """
    return _sections(data)[1]


def read_cubin(data: bytes) -> Cubin:
    """Reads the tables of a cubin.

    Raises:
        CubinError: when the bytes are none.
    """
    raw, names, flags = _sections(data)
    sections: list[Section] = []
    left = MOST_NAMES_BYTES
    for at, kind, _, _, offset, nbytes, link, *_ in raw:
        name = _text(names, at)
        left -= len(name)
        if left < 0:
            raise CubinError("The names of the sections are too long")
        sections.append(Section(name, kind, offset, nbytes, link))
    return Cubin(data, flags, tuple(sections))


def _sections(data: bytes) -> tuple[list[tuple[int, ...]], bytes, int]:
    """The section table, the names in it, and the file's flags."""
    if len(data) < _HEADER.size:
        raise CubinError("The bytes are too few for a cubin")
    magic, width, order, *_, machine, _, _, _, table, flags, _, _, _, entry, count, names = (
        _HEADER.unpack_from(data)
    )
    if magic != b"\x7fELF" or width != 2 or order != 1:
        raise CubinError("The bytes are not a 64-bit ELF file, as every cubin is")
    if machine != CUDA_MACHINE:
        raise CubinError(f"The ELF file is for machine {machine}, not for CUDA")
    if entry != _SECTION.size or not 0 < count <= MOST_SECTIONS or names >= count:
        count = _extended_count(data, table, entry, count)
    if table + count * _SECTION.size > len(data):
        raise CubinError("The section table leads outside the cubin")
    raw = [_SECTION.unpack_from(data, table + i * _SECTION.size) for i in range(count)]
    names = raw[0][6] if names == 0xFFFF else names
    if names >= count:
        raise CubinError("The section names are missing")
    for _, kind, _, _, offset, nbytes, *_ in raw:
        if kind != WITHOUT_BYTES and offset + nbytes > len(data):
            raise CubinError("A section leads outside the cubin")
    begin, nbytes = raw[names][4:6]
    return raw, data[begin : begin + nbytes], flags


def _extended_count(data: bytes, table: int, entry: int, count: int) -> int:
    """The number of sections where it is too large for the header, and stands in the first one."""
    if entry != _SECTION.size or table + _SECTION.size > len(data):
        raise CubinError("The section table is damaged")
    number = count or _SECTION.unpack_from(data, table)[5]
    if not 0 < number <= MOST_SECTIONS:
        raise CubinError("The section table is damaged")
    return number


def _entries(table: memoryview) -> list[tuple[int, int, int, int, int, int]]:
    count = len(table) // _SYMBOL.size
    if count > MOST_SYMBOLS:
        raise CubinError("The symbol table is too long")
    return list(_SYMBOL.iter_unpack(table[: count * _SYMBOL.size]))


def _text(strings: bytes, at: int) -> str:
    if at >= len(strings):
        raise CubinError("A name lies outside its table")
    end = strings.find(b"\0", at, at + MOST_NAME_BYTES)
    if end < 0:
        raise CubinError("A name has no end")
    return strings[at:end].decode("utf-8", "replace")
